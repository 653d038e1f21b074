// SPDX-License-Identifier: Apache-2.0
//
// Writes one file of the disk cache, whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace llava::engine {

/// Writes a key and the joined parts of a payload (cache_file.h) under a temporary name and renames
/// the file. Nothing is left of it and errno says why when it returns false.
///
/// Threads: safe with different temporary names.
bool write_cache_file(const std::filesystem::path& temporary, const std::filesystem::path& path,
                      std::string_view key, std::span<const std::span<const std::byte>> parts);

}  // namespace llava::engine
