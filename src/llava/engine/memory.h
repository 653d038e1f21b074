// SPDX-License-Identifier: Apache-2.0
//
// Memory is promised before it is used: what will not fit is refused with the sum shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace llava::engine {

/// Bytes this process may still use: what the system calls available, less if a container limits
/// the process. Nothing when the system does not say.
std::optional<int64_t> available_memory_bytes();

/// Throws: Error(kResourceExhausted) naming `what`, the bytes needed and the bytes available, when
/// the system says that they do not fit.
void require_memory(int64_t num_bytes, std::string_view what);

}  // namespace llava::engine
