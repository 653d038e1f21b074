// SPDX-License-Identifier: Apache-2.0
//
// ZIP archives as PyTorch writes them: entries stored as they are, every payload at a multiple of
// 64 bytes, ZIP64 records where sizes or offsets need them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/replaced_file.h"

namespace llava::checkpoint {

/// Writes an archive beside its target and renames it.
///
/// Threads: one thread at a time.
/// Source: the bytes that torch 2.13 writes (miniz); APPNOTE 6.3.
class ZipWriter {
 public:
  static constexpr uint64_t kAlignment = 64;

  /// Throws: as ReplacedFile.
  explicit ZipWriter(const std::filesystem::path& path);

  /// Adds an entry. Throws: Error(kResourceExhausted) when the disk refuses.
  void add(std::string_view name, std::span<const std::byte> content);
  void add(std::string_view name, std::string_view content) {
    add(name, std::as_bytes(std::span(content)));
  }

  /// The directory, then the rename. Throws: as ReplacedFile::finish.
  void finish();

  /// A number that the names and bytes of the entries so far decide.
  std::string content_digits() const;

 private:
  struct Entry {
    std::string name;
    uint64_t size = 0;
    uint64_t offset = 0;
    uint32_t crc = 0;
  };

  void write_directory_entry(const Entry& entry);

  ReplacedFile file_;
  std::vector<Entry> entries_;
};

}  // namespace llava::checkpoint
