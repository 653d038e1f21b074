// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as the address of a picture; what is accepted is accepted again as it was
// normalised, and means the same.
#include <cstdint>
#include <string_view>

#include "llava/core/check.h"
#include "llava/serve/media/image_url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const llava::serve::ImageUrlPolicy policy([] {
    llava::serve::ImageUrlOptions options;
    options.image_url_policy = "public";
    return options;
  }());
  try {
    const llava::serve::ImageUrl url = policy.check(text);
    const llava::serve::ImageUrl again = policy.check(url.text);
    LLAVA_CHECK(again.host == url.host && again.port == url.port);
  } catch (const llava::Error& error) {
    LLAVA_CHECK(error.code() == llava::ErrorCode::kInvalidArgument);
  }
  return 0;
}
