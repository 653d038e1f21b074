// SPDX-License-Identifier: Apache-2.0
//
// Memory that is left to this process, asked for before work that needs much of it.
#pragma once

#include <cstdint>
#include <optional>

namespace llava {

/// Bytes this process may still use: what the system calls available, less if a container limits
/// the process. Nothing when the system does not say.
std::optional<int64_t> available_memory_bytes();

}  // namespace llava
