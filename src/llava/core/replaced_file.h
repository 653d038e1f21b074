// SPDX-License-Identifier: Apache-2.0
//
// A file that is written piece by piece beside the one it replaces, for content that is too large
// to hold in memory. write_file_atomically() (core/file.h) does the same with a whole text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace llava {

/// Readers of the target see the old content until finish() renames, the new one afterwards. A
/// file that is not finished disappears again.
///
/// Threads: one thread at a time.
class ReplacedFile {
 public:
  /// Throws: Error(kNotFound) when no file can be made beside `target`.
  explicit ReplacedFile(std::filesystem::path target);
  ~ReplacedFile();
  ReplacedFile(const ReplacedFile&) = delete;
  ReplacedFile& operator=(const ReplacedFile&) = delete;

  /// Throws: Error(kResourceExhausted) when the disk refuses.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Bytes written so far.
  uint64_t size() const noexcept { return size_; }
  const std::filesystem::path& target() const noexcept { return target_; }

  /// Brings the bytes to the disk without touching the target yet, so that several files can be
  /// renamed when all of them are safe.
  ///
  /// Throws: Error(kResourceExhausted) when the disk refuses.
  void flush();
  /// Flushes and renames.
  ///
  /// Throws: Error(kResourceExhausted) when the disk refuses; Error(kNotFound) when the target
  /// cannot be replaced.
  void finish();

 private:
  [[noreturn]] void refuse() const;

  std::filesystem::path target_;
  std::string path_;
  std::FILE* file_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace llava
