// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/disk_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/hash.h"
#include "llava/core/log.h"
#include "llava/engine/cache_file.h"

namespace llava::engine {
namespace {

// The version is part of the name, so that programs of two versions may share a folder.
constexpr std::string_view kExtension = ".llava-cache1";
constexpr std::string_view kTemporaryMark = ".tmp-";
constexpr int64_t kNsPerSecond = 1'000'000'000;
// A writer that takes longer than this is taken for crashed.
constexpr int64_t kLeftoverSeconds = 3600;
// 64 hexadecimal digits of a SHA-256.
constexpr std::size_t kHexDigits = 64;

bool is_ours(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr std::string_view kFamily = ".llava-cache";
  return name.size() > kHexDigits &&
         name.substr(0, kHexDigits).find_first_not_of(kDigits) == std::string_view::npos &&
         name.substr(kHexDigits).starts_with(kFamily);
}

bool is_temporary(std::string_view name) {
  return name.find(kTemporaryMark) != std::string_view::npos;
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct Listed {
  int64_t used_ns = 0;
  int64_t num_bytes = 0;
  std::filesystem::path path;
  bool is_temporary = false;
};

// All files of the cache. A file that vanishes meanwhile is not there; a folder that cannot be
// listed has none.
std::vector<Listed> list_files(const std::filesystem::path& folder) {
  std::vector<Listed> files;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    struct stat status {};
    if (!is_ours(name) || ::lstat(it->path().c_str(), &status) != 0) continue;
    if (!S_ISREG(status.st_mode)) continue;
    files.push_back({.used_ns = status.st_mtim.tv_sec * kNsPerSecond + status.st_mtim.tv_nsec,
                     .num_bytes = status.st_size,
                     .path = it->path(),
                     .is_temporary = is_temporary(name)});
  }
  return files;
}

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

// Writes a whole cache file; false with errno set when the disk refuses.
bool write_cache_file(TemporaryFile& file, std::string_view key,
                      std::span<const std::span<const std::byte>> parts, uint64_t num_bytes) {
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

DiskCache::DiskCache(std::filesystem::path folder, int64_t max_bytes)
    : folder_(std::move(folder)), max_bytes_(max_bytes) {
  std::error_code error;
  const bool is_new = std::filesystem::create_directories(folder_, error);
  if (error || ::access(folder_.c_str(), R_OK | W_OK | X_OK) != 0) {
    fail(ErrorCode::kNotFound, "cannot use '{}' as the cache folder: {}; choose another one",
         folder_.string(), error ? error.message() : std::strerror(errno));
  }
  if (is_new) std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, error);
  remove_leftovers();
  evict_down_to(max_bytes_);
}

std::optional<DiskEntry> DiskCache::get(std::string_view key) {
  const std::filesystem::path path = path_of(key);
  std::shared_ptr<const MappedFile> file;
  try {
    file = MappedFile::open(path);
  } catch (const Error&) {
    ++counters_.misses;
    return std::nullopt;
  }
  try {
    const CacheFile parsed = parse_cache_file(file->bytes(), path.string());
    if (!std::ranges::equal(parsed.key, std::as_bytes(std::span(key)))) {
      fail(ErrorCode::kBadFormat, "'{}' is stored under another key than its name says",
           path.string());
    }
    if (!has_right_checksum(parsed)) {
      fail(ErrorCode::kBadFormat, "'{}' does not have its checksum", path.string());
    }
    mark_used(path);
    ++counters_.hits;
    return DiskEntry{.file = std::move(file), .payload = parsed.payload};
  } catch (const Error& error) {
    log_warning("cache_file_removed", {{"reason", error.what()}});
    ::unlink(path.c_str());
    ++counters_.damaged;
    ++counters_.misses;
    return std::nullopt;
  }
}

bool DiskCache::put(std::string_view key, std::span<const std::span<const std::byte>> parts) {
  uint64_t num_payload = 0;
  for (const auto& part : parts) num_payload += part.size();
  if (key.size() > kMaxCacheKeyBytes) return refuse("the key is too long");
  const auto num_bytes = static_cast<int64_t>(cache_payload_offset(key.size()) + num_payload);
  if (num_bytes > max_bytes_) {
    return refuse(fmt::format("{} bytes are more than the cache may hold, {}; give it more",
                              num_bytes, max_bytes_));
  }
  evict_down_to(max_bytes_ - num_bytes);
  const std::filesystem::path path = path_of(key);
  TemporaryFile file(path.string() + std::string(kTemporaryMark) + std::to_string(::getpid()) +
                     "-" + std::to_string(num_temporaries_++));
  if (!file.is_open() || !write_cache_file(file, key, parts, num_payload) || !file.move_to(path)) {
    return refuse(std::strerror(errno));
  }
  mark_used(path);
  has_complained_ = false;
  ++counters_.stored;
  // Another process may have stored something meanwhile.
  evict_down_to(max_bytes_);
  return true;
}

void DiskCache::remove(std::string_view key) { ::unlink(path_of(key).c_str()); }

int64_t DiskCache::used_bytes() const {
  int64_t sum = 0;
  for (const Listed& file : list_files(folder_)) sum += file.num_bytes;
  return sum;
}

std::filesystem::path DiskCache::path_of(std::string_view key) const {
  return folder_ / (to_hex(sha256(std::as_bytes(std::span(key)))) + std::string(kExtension));
}

void DiskCache::remove_leftovers() {
  const int64_t oldest = now_ns() - kLeftoverSeconds * kNsPerSecond;
  for (const Listed& file : list_files(folder_)) {
    if (file.is_temporary && file.used_ns < oldest) ::unlink(file.path.c_str());
  }
}

void DiskCache::evict_down_to(int64_t num_bytes) {
  std::vector<Listed> files = list_files(folder_);
  int64_t sum = 0;
  for (const Listed& file : files) sum += file.num_bytes;
  if (sum <= num_bytes) return;
  std::ranges::sort(files, [](const Listed& a, const Listed& b) {
    return std::pair(a.used_ns, a.path.native()) < std::pair(b.used_ns, b.path.native());
  });
  for (const Listed& file : files) {
    if (sum <= num_bytes) return;
    if (file.is_temporary) continue;
    if (::unlink(file.path.c_str()) == 0) ++counters_.evicted;
    sum -= file.num_bytes;
  }
}

void DiskCache::mark_used(const std::filesystem::path& path) {
  // Two uses never get the same time, however coarse the clock.
  int64_t last = last_use_ns_;
  int64_t use = 0;
  do {
    use = std::max(now_ns(), last + 1);
  } while (!last_use_ns_.compare_exchange_weak(last, use));
  timespec times[2];
  times[0].tv_sec = times[1].tv_sec = use / kNsPerSecond;
  times[0].tv_nsec = times[1].tv_nsec = use % kNsPerSecond;
  ::utimensat(AT_FDCWD, path.c_str(), times, 0);
}

bool DiskCache::refuse(std::string_view reason) {
  ++counters_.failed_writes;
  if (!has_complained_.exchange(true)) {
    log_warning("cache_not_stored", {{"folder", folder_.string()}, {"reason", reason}});
  }
  return false;
}

}  // namespace llava::engine
