// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as the body of a request of one of the APIs besides chats: completions, vectors,
// SGLang's and Ollama's. The first byte chooses which.
#include <cstdint>
#include <string_view>

#include "llava/core/error.h"
#include "llava/serve/embeddings/embedding_request.h"
#include "llava/serve/ollama/ollama_embed_request.h"
#include "llava/serve/ollama/ollama_request.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/completion_request.h"
#include "llava/serve/sglang/generate_request.h"

namespace {

void read(uint8_t which, const llava::OrderedJson& body) {
  switch (which % 6) {
    case 0:
      llava::serve::read_completion_request(body, {});
      break;
    case 1:
      llava::serve::read_embedding_request(body, {});
      break;
    case 2:
      llava::serve::read_generate_request(body, {});
      break;
    case 3:
      llava::serve::read_ollama_chat(body, {});
      break;
    case 4:
      llava::serve::read_ollama_generate(body, {});
      break;
    default:
      llava::serve::read_ollama_embed(body);
      llava::serve::read_ollama_embeddings(body);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
    read(data[0], llava::serve::parse_body(body));
  } catch (const llava::serve::ApiError&) {
  } catch (const llava::Error&) {
  }
  return 0;
}
