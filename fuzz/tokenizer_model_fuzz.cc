// SPDX-License-Identifier: Apache-2.0
//
// A SentencePiece model from outside: parse it, and if it is one, encode and decode with it in
// every form.
#include <cstdint>
#include <string_view>
#include <vector>

#include "llava/core/error.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/llama_tokenizer.h"
#include "llava/text/sentencepiece_conversion.h"
#include "llava/text/sentencepiece_model.h"

namespace {

constexpr std::string_view kTexts[] = {"", " Hello  world\n",
                                       "a\xC3\xA9 <s></s><unk> \xE2\x96\x81\xF0\x9F\x98\x80\xFF",
                                       "aaaaaaaabbbb"};

void use(const llava::text::Tokenizer& tokenizer) {
  for (const std::string_view text : kTexts) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    tokenizer.decode(ids, true);
    tokenizer.decode(ids, false);
  }
  std::vector<int32_t> all;
  for (int32_t id = 0; id < tokenizer.size() && id < 300; ++id) all.push_back(id);
  tokenizer.decode(all);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::text;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const SentencePieceModel model = parse_sentencepiece_model(bytes, "fuzz");
    for (const bool legacy : {false, true}) {
      TokenizerSettings settings;
      settings.source = "fuzz";
      settings.legacy = legacy;
      LlamaTokenizer tokenizer(model, settings);
      tokenizer.add_special_token("<im_patch>");
      use(tokenizer);
    }
    use(FastTokenizer(convert_sentencepiece(model, "fuzz")));
  } catch (const llava::Error&) {
  }
  return 0;
}
