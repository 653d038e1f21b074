// SPDX-License-Identifier: Apache-2.0
//
// PartialFile: a content on its way to the disk. The file always holds its beginning and nothing
// else, so that its length says what is there, to us as to huggingface_hub, whatever ended the
// process that wrote it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace llava::hub {

/// Threads: one thread at a time.
class PartialFile {
 public:
  /// Opens or makes the file, and reads what it holds into the hash. A file that is longer than
  /// `size` begins anew.
  ///
  /// `blob`: the hash that the content must have: SHA-256, or the SHA-1 of git, told by their
  /// length. Throws: Error(kResourceExhausted).
  PartialFile(std::filesystem::path path, uint64_t size, std::string blob);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  /// Bytes that are there.
  uint64_t length() const { return length_; }
  uint64_t size() const { return size_; }

  /// Adds what follows. From time to time it makes sure that the disk has it.
  ///
  /// Throws: Error(kResourceExhausted) saying how much room is missing; what was written stays.
  void append(std::string_view bytes);

  /// The hash of everything that is there.
  std::string finish_hash();
  /// Forgets everything.
  void clear();
  /// Makes sure that the disk has it, and gives it its name.
  void move_to(const std::filesystem::path& target);

 private:
  class Hash;
  struct Descriptor {
    int number = -1;
    ~Descriptor();
  };

  void write(std::string_view bytes);
  void sync();
  [[noreturn]] void fail_with(int error);

  std::filesystem::path path_;
  uint64_t size_;
  std::string blob_;
  Descriptor descriptor_;
  uint64_t length_ = 0;
  uint64_t num_unsynced_ = 0;
  std::unique_ptr<Hash> hash_;
};

/// Refuses to begin what does not fit: `bytes` more in `folder`, which exists.
///
/// Throws: Error(kResourceExhausted) saying how much room is missing.
void require_room(const std::filesystem::path& folder, uint64_t bytes);

}  // namespace llava::hub
