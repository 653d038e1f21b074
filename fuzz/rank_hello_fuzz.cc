// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as what a stranger says to the first rank of a model: read, or refused.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "attempt.h"
#include "llava/engine/parallel/rank_meeting.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  attempt([&] {
    llava::engine::parse_rank_hello(std::string_view(reinterpret_cast<const char*>(data), size));
  });
  return 0;
}
