// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/cache_file_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "llava/core/hash.h"
#include "llava/engine/cache_file.h"

namespace llava::engine {
namespace {

// A new file under a temporary name; removed unless it was given its final one.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path path)
      : path_(std::move(path)),
        fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) {}
  ~TemporaryFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    if (!has_moved_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  bool is_open() const { return fd_ >= 0; }
  // Each returns false with errno set.
  bool write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return false;
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return true;
  }
  bool rewind() { return ::lseek(fd_, 0, SEEK_SET) == 0; }
  bool move_to(const std::filesystem::path& path) {
    has_moved_ = ::rename(path_.c_str(), path.c_str()) == 0;
    return has_moved_;
  }

 private:
  std::filesystem::path path_;
  int fd_;
  bool has_moved_ = false;
};

// False with errno set when the disk refuses.
bool write_content(TemporaryFile& file, std::string_view key,
                   std::span<const std::span<const std::byte>> parts) {
  uint64_t num_bytes = 0;
  for (const auto& part : parts) num_bytes += part.size();
  auto head = cache_head(key.size(), num_bytes);
  const std::vector<std::byte> padding(cache_payload_offset(key.size()) - kCacheHeadBytes -
                                       key.size());
  Sha256Stream hash;
  const auto put = [&](std::span<const std::byte> bytes) {
    hash.update(bytes);
    return file.write(bytes);
  };
  hash.update(hashed_head(head));
  if (!file.write(head) || !put(std::as_bytes(std::span(key))) || !file.write(padding)) {
    return false;
  }
  for (const auto& part : parts) {
    if (!put(part)) return false;
  }
  set_checksum(head, hash.finish());
  return file.rewind() && file.write(head);
}

}  // namespace

bool write_cache_file(const std::filesystem::path& temporary, const std::filesystem::path& path,
                      std::string_view key, std::span<const std::span<const std::byte>> parts) {
  int error = 0;
  {
    TemporaryFile file(temporary);
    if (file.is_open() && write_content(file, key, parts) && file.move_to(path)) return true;
    error = errno;
  }
  // Removing the file may have set another.
  errno = error;
  return false;
}

}  // namespace llava::engine
