// SPDX-License-Identifier: Apache-2.0
//
// PersistentCache: what the engine keeps on disk across restarts: pictures' features, and the keys
// and values of pinned prefixes. It knows keys, records and who owns what; the bytes are the
// runner's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/engine/cache_writer.h"
#include "llava/engine/disk_cache.h"
#include "llava/engine/model_identity.h"
#include "llava/engine/pin_record.h"

namespace llava::engine {

/// Where a persistent cache lies, and whose results it takes.
struct PersistentCacheConfig {
  std::filesystem::path folder;
  int64_t max_bytes = 0;
  ModelIdentity identity;
};

/// Reading is done at once, writing by a thread of its own. Whatever the disk does is no exception:
/// what cannot be read is a miss, what cannot be written is not kept, and either is logged.
///
/// Threads: safe.
class PersistentCache {
 public:
  /// Throws: Error(kNotFound) when the folder cannot be made or used.
  explicit PersistentCache(PersistentCacheConfig config);

  const ModelIdentity& identity() const noexcept { return identity_; }

  /// A picture's features.
  std::optional<DiskEntry> find_features(const ImageKey& image);
  /// Stores a picture's features. Those of a pinned picture stay before others.
  void store_features(const ImageKey& image, std::vector<std::byte> bytes, Keep keep);

  /// Keys and values by their prefix_key.
  std::optional<DiskEntry> find_prefix(std::string_view key) { return disk_.get(key); }
  bool has_prefix(std::string_view key) const { return disk_.contains(key); }
  /// Forgets what was found and is not what it should be.
  void remove(std::string_view key) { disk_.remove(key); }

  /// What a name stands for; nothing when there is no such pin of this model. A pin of another
  /// model is a miss, which is logged once.
  std::optional<PinRecord> find_pin(std::string_view name);
  /// Whether this is the record of a name.
  bool has_record(std::string_view name, const PinRecord& record) {
    return read_record(name) == record;
  }
  /// What the record of a pin with this content is.
  PinRecord record_of(std::string_view key, int32_t num_tokens, std::vector<ImageKey> images) const;
  /// Stores a prefix and its record under a name, in place of what the name stood for. `bytes` may
  /// be empty when there is such a prefix.
  void store_pin(const std::string& name, PinRecord record, std::string key,
                 std::vector<std::byte> bytes);
  /// Forgets a name, and what no other name stands for. Whether there was such a pin of this model.
  bool remove_pin(std::string_view name);
  /// Names of this model's pins.
  std::vector<std::pair<std::string, PinRecord>> pins();

  /// Waits until everything is written.
  void flush() { writer_.flush(); }
  const DiskCacheCounters& counters() const noexcept { return disk_.counters(); }

 private:
  using NamedRecord = std::pair<std::string, PinRecord>;

  std::optional<PinRecord> read_record(std::string_view name);
  /// Of all models.
  std::vector<NamedRecord> read_records();
  void write_pin(const std::string& name, const PinRecord& record, const std::string& key,
                 const std::vector<std::byte>& bytes);
  /// Removes what this record stands for, as far as no record on disk does.
  void release(const PinRecord& record);

  ModelIdentity identity_;
  Sha256 identity_digest_;
  DiskCache disk_;
  CacheWriter writer_;  // last: its jobs use the others
};

}  // namespace llava::engine
