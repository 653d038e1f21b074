// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/disk_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <tuple>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/hash.h"
#include "llava/core/log.h"
#include "llava/engine/cache_file.h"
#include "llava/engine/cache_file_output.h"

namespace llava::engine {
namespace {

// The version is part of the name, so that programs of two versions may share a folder.
constexpr std::string_view kExtension = ".llava-cache1";
constexpr std::string_view kKeptExtension = ".llava-cache1-kept";
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

bool is_kept(std::string_view name) { return name.substr(kHexDigits) == kKeptExtension; }

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
  bool is_kept = false;
};

// All files of the cache. A file that vanishes meanwhile is not there; a folder that cannot be
// listed has none. The standard library's iterator ends the program where memory runs out.
std::vector<Listed> list_files(const std::filesystem::path& folder) {
  std::vector<Listed> files;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), &::closedir);
  if (!listing) return files;
  while (const dirent* const entry = ::readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    struct stat status {};
    if (!is_ours(name) ||
        ::fstatat(::dirfd(listing.get()), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    if (!S_ISREG(status.st_mode)) continue;
    files.push_back({.used_ns = status.st_mtim.tv_sec * kNsPerSecond + status.st_mtim.tv_nsec,
                     .num_bytes = status.st_size,
                     .path = folder / name,
                     .is_temporary = is_temporary(name),
                     .is_kept = is_kept(name)});
  }
  return files;
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
  evict_down_to(max_bytes_, /*can_drop_kept=*/true);
}

std::optional<DiskEntry> DiskCache::get(std::string_view key) {
  for (const Keep keep : {Keep::kKept, Keep::kOrdinary}) {
    if (auto entry = read(key, path_of(key, keep))) {
      ++counters_.hits;
      return entry;
    }
  }
  ++counters_.misses;
  return std::nullopt;
}

std::optional<DiskEntry> DiskCache::read(std::string_view key, const std::filesystem::path& path) {
  std::shared_ptr<const MappedFile> file;
  try {
    file = MappedFile::open(path);
  } catch (const Error&) {
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
    return DiskEntry{.file = std::move(file), .payload = parsed.payload};
  } catch (const Error& error) {
    log_warning("cache_file_removed", {{"reason", error.what()}});
    ::unlink(path.c_str());
    ++counters_.damaged;
    return std::nullopt;
  }
}

bool DiskCache::put(std::string_view key, std::span<const std::span<const std::byte>> parts,
                    Keep keep) {
  uint64_t num_payload = 0;
  for (const auto& part : parts) num_payload += part.size();
  if (key.size() > kMaxCacheKeyBytes) return refuse("the key is too long");
  const auto num_bytes = static_cast<int64_t>(cache_payload_offset(key.size()) + num_payload);
  if (num_bytes > max_bytes_) {
    return refuse(fmt::format("{} bytes are more than the cache may hold, {}; give it more",
                              num_bytes, max_bytes_));
  }
  const std::filesystem::path kept_path = path_of(key, Keep::kKept);
  if (::access(kept_path.c_str(), F_OK) == 0) keep = Keep::kKept;
  if (!evict_down_to(max_bytes_ - num_bytes, keep == Keep::kKept)) {
    return refuse(fmt::format("pins leave less than {} of the cache's {} bytes; give it more",
                              num_bytes, max_bytes_));
  }
  const std::filesystem::path path = path_of(key, keep);
  const std::filesystem::path temporary = path.string() + std::string(kTemporaryMark) +
                                          std::to_string(::getpid()) + "-" +
                                          std::to_string(num_temporaries_++);
  if (!write_cache_file(temporary, path, key, parts)) return refuse(std::strerror(errno));
  if (keep == Keep::kKept) ::unlink(path_of(key, Keep::kOrdinary).c_str());
  mark_used(path);
  has_complained_ = false;
  ++counters_.stored;
  // Another process may have stored something meanwhile.
  evict_down_to(max_bytes_, /*can_drop_kept=*/true);
  return true;
}

bool DiskCache::contains(std::string_view key) const {
  return ::access(path_of(key, Keep::kKept).c_str(), F_OK) == 0 ||
         ::access(path_of(key, Keep::kOrdinary).c_str(), F_OK) == 0;
}

void DiskCache::set_keep(std::string_view key, Keep keep) {
  const Keep other = keep == Keep::kKept ? Keep::kOrdinary : Keep::kKept;
  ::rename(path_of(key, other).c_str(), path_of(key, keep).c_str());
}

void DiskCache::remove(std::string_view key) {
  for (const Keep keep : {Keep::kKept, Keep::kOrdinary}) ::unlink(path_of(key, keep).c_str());
}

std::vector<std::string> DiskCache::kept_keys(std::string_view prefix) const {
  std::vector<std::string> keys;
  for (const Listed& listed : list_files(folder_)) {
    if (!listed.is_kept) continue;
    try {
      const auto file = MappedFile::open(listed.path);
      const auto key = parse_cache_file(file->bytes(), listed.path.string()).key;
      std::string text(reinterpret_cast<const char*>(key.data()), key.size());
      if (text.starts_with(prefix)) keys.push_back(std::move(text));
    } catch (const Error&) {
      // Gone, or damaged, which `get` will say.
    }
  }
  return keys;
}

int64_t DiskCache::used_bytes() const {
  int64_t sum = 0;
  for (const Listed& file : list_files(folder_)) sum += file.num_bytes;
  return sum;
}

std::filesystem::path DiskCache::path_of(std::string_view key, Keep keep) const {
  return folder_ / (to_hex(sha256(std::as_bytes(std::span(key)))) +
                    std::string(keep == Keep::kKept ? kKeptExtension : kExtension));
}

void DiskCache::remove_leftovers() {
  const int64_t oldest = now_ns() - kLeftoverSeconds * kNsPerSecond;
  for (const Listed& file : list_files(folder_)) {
    if (file.is_temporary && file.used_ns < oldest) ::unlink(file.path.c_str());
  }
}

bool DiskCache::evict_down_to(int64_t num_bytes, bool can_drop_kept) {
  std::vector<Listed> files = list_files(folder_);
  int64_t sum = 0;
  for (const Listed& file : files) sum += file.num_bytes;
  if (sum <= num_bytes) return true;
  std::ranges::sort(files, [](const Listed& a, const Listed& b) {
    return std::tuple(a.is_kept, a.used_ns, a.path.native()) <
           std::tuple(b.is_kept, b.used_ns, b.path.native());
  });
  for (const Listed& file : files) {
    if (file.is_temporary) continue;
    if (file.is_kept && !can_drop_kept) break;
    if (::unlink(file.path.c_str()) == 0) ++counters_.evicted;
    sum -= file.num_bytes;
    if (sum <= num_bytes) return true;
  }
  return can_drop_kept;
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
