// SPDX-License-Identifier: Apache-2.0
//
// Large pages for large memory, where the system grants them on request.
#pragma once

#include <cstddef>

namespace llava {

/// Asks the system to back memory that nothing has touched yet with large pages; below 8 MiB it
/// does nothing. Only speed depends on it: a refusal goes unnoticed.
void request_large_pages(void* data, std::size_t num_bytes) noexcept;

}  // namespace llava
