// SPDX-License-Identifier: Apache-2.0
//
// Reading, mapping and atomically writing files. Every failure names the path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "llava/core/descriptor.h"

namespace llava {

/// Whole content of a regular file.
///
/// Throws: Error(kNotFound) if it does not exist or cannot be opened, Error(kBadFormat) if it is a
/// directory or larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes);
/// The same of a file that is open; `path` is its name in messages.
std::string read_file(const Descriptor& file, const std::filesystem::path& path,
                      uint64_t max_bytes);

/// Writes beside the target and renames, so that a reader sees the old or the new content.
///
/// Throws: Error(kResourceExhausted) when the disk refuses, Error(kNotFound) for a missing folder.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// A regular file mapped read-only. The mapping lives as long as the object.
///
/// Threads: const, safe to share. A file truncated by another process while mapped is outside the
/// contract, as for every program that maps files.
class MappedFile {
 public:
  /// Throws: Error(kNotFound) if it cannot be opened, Error(kBadFormat) if it is not a regular
  /// file.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  MappedFile(std::filesystem::path path, const std::byte* data, std::size_t size);

  std::filesystem::path path_;
  const std::byte* data_;
  std::size_t size_;
};

}  // namespace llava
