// SPDX-License-Identifier: Apache-2.0
//
// Pages of mapped files that have been read and are not needed any more.
#pragma once

#include <cstddef>
#include <span>

namespace llava {

/// Tells the system that it may take the whole pages of `bytes` back now. What is read later is
/// the same: pages of a file are read again, others come back from where the system put them.
///
/// Threads: safe.
void give_back_pages(std::span<const std::byte> bytes) noexcept;

}  // namespace llava
