// SPDX-License-Identifier: Apache-2.0
//
// Memory is promised before it is used: what will not fit is refused with the sum shown.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "llava/core/available_memory.h"

namespace llava::engine {

/// Throws: Error(kResourceExhausted) naming `what`, the bytes needed and the bytes available, when
/// the system says that they do not fit.
void require_memory(int64_t num_bytes, std::string_view what);

/// One thing that memory is needed for: "the KV cache of 4096 tokens".
struct MemoryPart {
  std::string what;
  int64_t num_bytes = 0;
};

/// As above, for the sum of all parts, each of which the message names.
void require_memory(std::span<const MemoryPart> parts, std::string_view what);

}  // namespace llava::engine
