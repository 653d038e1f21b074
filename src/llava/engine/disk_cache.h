// SPDX-License-Identifier: Apache-2.0
//
// DiskCache: a folder of computed things that survive a restart (--cache-dir): keys and values of
// pinned prefixes, features of pictures. Pure bytes under pure bytes; what they mean is the
// caller's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/file.h"

namespace llava::engine {

/// A hit: the bytes, mapped from the file for as long as this lives.
struct DiskEntry {
  std::shared_ptr<const MappedFile> file;
  std::span<const std::byte> payload;
};

/// Who leaves when room is needed: ordinary entries first; kept ones only for other kept ones.
enum class Keep : uint8_t { kOrdinary, kKept };

/// Counters since construction.
struct DiskCacheCounters {
  std::atomic<int64_t> hits = 0;
  std::atomic<int64_t> misses = 0;
  std::atomic<int64_t> stored = 0;
  std::atomic<int64_t> evicted = 0;
  std::atomic<int64_t> damaged = 0;
  std::atomic<int64_t> failed_writes = 0;
};

/// A folder of files named by the SHA-256 of their key, at most `max_bytes` in all, the least
/// recently used leaving first (the files' modification times are the times of use, so the order
/// survives a restart). Kept entries have files of another extension and stay while ordinary ones
/// can leave instead.
///
/// Every change is one rename or one unlink, so any number of processes may share a folder without
/// locks: a file that another one removed is a miss. Nothing is flushed to the disk: after a loss
/// of power the checksum tells a damaged file, which is removed and is a miss. The folder is
/// readable by its owner only, because it holds what users asked about.
///
/// Threads: safe.
class DiskCache {
 public:
  /// Makes the folder if need be, and removes what crashed writers left.
  ///
  /// Throws: Error(kNotFound) when the folder cannot be made or used.
  DiskCache(std::filesystem::path folder, int64_t max_bytes);

  /// The bytes stored under a key, checked; nothing when there are none or they are damaged.
  std::optional<DiskEntry> get(std::string_view key);

  /// Stores the joined parts under a key, in place of what it had. Returns false when they are not
  /// stored: larger than the bound, an ordinary entry beside kept ones that fill it, or the disk
  /// refuses (logged once until a write succeeds). An entry that is kept stays so.
  bool put(std::string_view key, std::span<const std::span<const std::byte>> parts,
           Keep keep = Keep::kOrdinary);

  /// Whether there is an entry, damaged or not.
  bool contains(std::string_view key) const;
  /// Makes an entry kept or ordinary; none is made.
  void set_keep(std::string_view key, Keep keep);
  /// Forgets a key.
  void remove(std::string_view key);

  /// Keys of the kept entries that begin so, in any order. Read from the files' heads: that an
  /// entry is undamaged is what `get` tells.
  std::vector<std::string> kept_keys(std::string_view prefix) const;

  /// Bytes of all its files now.
  int64_t used_bytes() const;
  int64_t max_bytes() const noexcept { return max_bytes_; }
  const std::filesystem::path& folder() const noexcept { return folder_; }
  const DiskCacheCounters& counters() const noexcept { return counters_; }

 private:
  std::filesystem::path path_of(std::string_view key, Keep keep) const;
  std::optional<DiskEntry> read(std::string_view key, const std::filesystem::path& path);
  void remove_leftovers();
  /// Removes the files that leave first until the sum is at most this; false when kept ones, which
  /// stay unless `can_drop_kept`, are more.
  bool evict_down_to(int64_t num_bytes, bool can_drop_kept);
  void mark_used(const std::filesystem::path& path);
  bool refuse(std::string_view reason);

  std::filesystem::path folder_;
  int64_t max_bytes_;
  DiskCacheCounters counters_;
  std::atomic<bool> has_complained_ = false;
  std::atomic<int64_t> last_use_ns_ = 0;
  std::atomic<uint64_t> num_temporaries_ = 0;
};

}  // namespace llava::engine
