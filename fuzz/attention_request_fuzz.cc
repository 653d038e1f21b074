// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as the body of a request for where an answer looked.
#include <cstdint>
#include <string_view>

#include "llava/serve/attention/attention_request.h"
#include "llava/serve/protocol/api_error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::serve;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  try {
    const AttentionRequest request = read_attention_request(parse_body(body), {});
    // What was taken ends with an answer about some picture, and asks for a range that can be.
    const bool is_sound = request.chat.continues_last &&
                          request.chat.turns.back().role == ChatTurn::Role::kAssistant &&
                          !request.chat.images.empty() &&
                          (!request.tokens || (request.tokens->first >= 0 &&
                                               request.tokens->second > request.tokens->first));
    if (!is_sound) __builtin_trap();
  } catch (const ApiError&) {
  }
  return 0;
}
