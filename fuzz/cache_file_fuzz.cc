// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a file of the disk cache: taken apart or refused, and its checksum looked at.
#include <cstddef>
#include <cstdint>
#include <span>

#include "attempt.h"
#include "llava/engine/cache_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attempt([&] {
    const auto bytes = std::as_bytes(std::span(data, size));
    const llava::engine::CacheFile file = llava::engine::parse_cache_file(bytes, "fuzz");
    // What was accepted accounts for every byte.
    if (file.payload.data() + file.payload.size() != bytes.data() + bytes.size()) __builtin_trap();
    llava::engine::has_right_checksum(file);
  });
  return 0;
}
