// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as the body of a request that a gateway passes on.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "llava/serve/gateway/route_key.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  try {
    const auto key = llava::serve::read_route_key(llava::serve::parse_body(body));
    if (!key.prefix.empty() && key.prefix.size() != 64) std::abort();
  } catch (const llava::serve::ApiError&) {
  }
  return 0;
}
