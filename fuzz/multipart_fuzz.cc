// SPDX-License-Identifier: Apache-2.0
//
// Reads the first line as the Content-Type of a form and the rest as the form.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "llava/core/check.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/multipart.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view type = text.substr(0, text.find('\n'));
  const std::string_view body = text.substr(std::min(text.size(), type.size() + 1));
  try {
    for (const auto& part : llava::serve::parse_multipart(type, body)) {
      LLAVA_CHECK(part.body.data() >= body.data() &&
                  part.body.data() + part.body.size() <= body.data() + body.size());
    }
  } catch (const llava::serve::ApiError&) {
  }
  return 0;
}
