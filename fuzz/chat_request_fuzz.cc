// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as the body of a chat request, and the pictures in it.
#include <cstdint>
#include <string_view>

#include "llava/core/error.h"
#include "llava/serve/media/image_input.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/chat_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  try {
    const auto request = llava::serve::read_chat_request(llava::serve::parse_body(body), {});
    for (const auto& image : request.images) {
      const llava::serve::ImageLimits limits{.max_bytes = 1 << 16, .max_pixels = 1 << 16};
      llava::serve::decode_image(*llava::serve::read_image_bytes(image, limits), image, limits);
    }
  } catch (const llava::serve::ApiError&) {
  } catch (const llava::Error&) {
  }
  return 0;
}
