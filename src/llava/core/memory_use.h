// SPDX-License-Identifier: Apache-2.0
//
// Memory of this process, as the system counts it.
#pragma once

#include <cstdint>

namespace llava {

/// Resident bytes, those of mapped files included; 0 where the system does not say.
struct MemoryUse {
  int64_t bytes = 0;
  int64_t peak_bytes = 0;
};

MemoryUse memory_use();

}  // namespace llava
