// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as a moderation service's answer, and as a request that is to be shown to it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "llava/serve/moderation/moderated_text.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)llava::serve::read_moderation_answer(bytes);
  try {
    const auto text = llava::serve::moderated_text(llava::serve::parse_body(bytes));
    // Nothing is made up: each text stands in the request, and a line's end is less than its
    // quotes.
    if (text.size() > size) std::abort();
  } catch (const llava::serve::ApiError&) {
  }
  return 0;
}
