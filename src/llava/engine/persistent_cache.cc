// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/persistent_cache.h"

#include <algorithm>
#include <span>

#include "llava/core/error.h"
#include "llava/core/hash.h"
#include "llava/core/log.h"
#include "llava/engine/cache_keys.h"

namespace llava::engine {
namespace {

// Bytes that wait to be written. A pin larger than this waits alone.
constexpr int64_t kMaxPendingBytes = int64_t{256} << 20;

Sha256 digest_of(std::string_view text) { return sha256(std::as_bytes(std::span(text))); }

}  // namespace

PersistentCache::PersistentCache(PersistentCacheConfig config)
    : identity_(std::move(config.identity)),
      identity_digest_(digest_of(identity_.prefixes)),
      disk_(std::move(config.folder), config.max_bytes),
      writer_(kMaxPendingBytes) {}

std::optional<DiskEntry> PersistentCache::find_features(const ImageKey& image) {
  return disk_.get(features_key(identity_.features, image));
}

void PersistentCache::store_features(const ImageKey& image, std::vector<std::byte> bytes,
                                     Keep keep) {
  const auto num_bytes = static_cast<int64_t>(bytes.size());
  writer_.add(num_bytes, [this, image, bytes = std::move(bytes), keep] {
    const std::span<const std::byte> part = bytes;
    disk_.put(features_key(identity_.features, image), {&part, 1}, keep);
  });
}

std::optional<PinRecord> PersistentCache::find_pin(std::string_view name) {
  auto record = read_record(name);
  if (record && record->identity != identity_digest_) {
    log_warning("pin_not_used",
                {{"name", name}, {"reason", "it is of another model or program version"}});
    return std::nullopt;
  }
  return record;
}

PinRecord PersistentCache::record_of(std::string_view key, int32_t num_tokens,
                                     std::vector<ImageKey> images) const {
  return {.identity = identity_digest_,
          .content = digest_of(key),
          .num_tokens = num_tokens,
          .images = std::move(images)};
}

void PersistentCache::store_pin(const std::string& name, PinRecord record, std::string key,
                                std::vector<std::byte> bytes) {
  const auto num_bytes = static_cast<int64_t>(bytes.size());
  writer_.add(num_bytes, [this, name, record = std::move(record), key = std::move(key),
                          bytes = std::move(bytes)] { write_pin(name, record, key, bytes); });
}

void PersistentCache::write_pin(const std::string& name, const PinRecord& record,
                                const std::string& key, const std::vector<std::byte>& bytes) {
  const auto old = read_record(name);
  const std::span<const std::byte> content = bytes;
  if (!bytes.empty() && !disk_.put(key, {&content, 1}, Keep::kKept)) return;
  // The record comes after what it stands for, so that it never stands for nothing.
  const std::vector<std::byte> written = write_pin_record(record);
  const std::span<const std::byte> part = written;
  if (!disk_.put(pin_key(name), {&part, 1}, Keep::kKept)) return;
  for (const ImageKey& image : record.images) {
    disk_.set_keep(features_key(identity_.features, image), Keep::kKept);
  }
  if (old && *old != record) release(*old);
}

bool PersistentCache::remove_pin(std::string_view name) {
  writer_.flush();
  const auto record = read_record(name);
  if (!record || record->identity != identity_digest_) return false;
  disk_.remove(pin_key(name));
  release(*record);
  return true;
}

std::vector<std::pair<std::string, PinRecord>> PersistentCache::pins() {
  writer_.flush();
  std::vector<NamedRecord> own = read_records();
  std::erase_if(own,
                [&](const NamedRecord& pin) { return pin.second.identity != identity_digest_; });
  return own;
}

std::optional<PinRecord> PersistentCache::read_record(std::string_view name) {
  const std::string key = pin_key(name);
  const auto entry = disk_.get(key);
  if (!entry) return std::nullopt;
  try {
    return parse_pin_record(entry->payload, entry->file->path().string());
  } catch (const Error& error) {
    log_warning("pin_not_used", {{"name", name}, {"reason", error.what()}});
    disk_.remove(key);
    return std::nullopt;
  }
}

std::vector<PersistentCache::NamedRecord> PersistentCache::read_records() {
  std::vector<NamedRecord> records;
  for (const std::string& key : disk_.kept_keys(kPinKeyPrefix)) {
    std::string name = key.substr(kPinKeyPrefix.size());
    if (auto record = read_record(name)) records.emplace_back(std::move(name), std::move(*record));
  }
  return records;
}

void PersistentCache::release(const PinRecord& record) {
  const std::vector<NamedRecord> others = read_records();
  const auto stands_for_it = [&](const NamedRecord& other) {
    return other.second.content == record.content;
  };
  if (std::ranges::none_of(others, stands_for_it)) {
    for (const std::string& key : disk_.kept_keys(kPrefixKeyPrefix)) {
      if (digest_of(key) == record.content) disk_.remove(key);
    }
  }
  // Those of another model have keys that only it knows; they leave as the least recently used.
  if (record.identity != identity_digest_) return;
  for (const ImageKey& image : record.images) {
    const auto shows_it = [&](const NamedRecord& other) {
      return other.second.identity == identity_digest_ &&
             std::ranges::find(other.second.images, image) != other.second.images.end();
    };
    if (std::ranges::none_of(others, shows_it)) {
      disk_.set_keep(features_key(identity_.features, image), Keep::kOrdinary);
    }
  }
}

}  // namespace llava::engine
