// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as what workers, controllers and clients of the original's protocol tell each
// other. The first byte chooses which message.
#include <cstdint>
#include <string_view>

#include "llava/core/error.h"
#include "llava/serve/controller/worker_messages.h"
#include "llava/serve/legacy/worker_request.h"
#include "llava/serve/protocol/api_error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0] % 4) {
      case 0:
        llava::serve::read_register_message(body);
        break;
      case 1:
        llava::serve::read_heart_beat(body);
        break;
      case 2:
        if (const auto status = llava::serve::read_worker_status(body)) {
          llava::serve::worker_status_json(*status);
        }
        break;
      default:
        llava::serve::count_image_places(llava::serve::read_worker_request(body).prompt);
    }
  } catch (const llava::serve::ApiError&) {
  } catch (const llava::Error&) {
  }
  return 0;
}
