// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as the record of a pin: read and written again as they were, or refused.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "attempt.h"
#include "llava/engine/pin_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attempt([&] {
    const auto bytes = std::as_bytes(std::span(data, size));
    const llava::engine::PinRecord record = llava::engine::parse_pin_record(bytes, "fuzz");
    if (!std::ranges::equal(llava::engine::write_pin_record(record), bytes)) __builtin_trap();
  });
  return 0;
}
