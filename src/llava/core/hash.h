// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 of byte spans, for content keys and published pixel hashes.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>

namespace llava {

using Sha256 = std::array<unsigned char, 32>;

/// SHA-256 of `bytes`. Throws: Error(kInternal) if the library refuses. Threads: safe.
Sha256 sha256(std::span<const std::byte> bytes);

/// Lower-case hexadecimal form, 64 characters.
std::string to_hex(const Sha256& digest);

}  // namespace llava
