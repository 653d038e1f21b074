// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/encoder_cache.h"

#include "llava/core/check.h"

namespace llava::engine {

EncoderCache::EncoderCache(int64_t budget_bytes) : budget_bytes_(budget_bytes) {
  LLAVA_CHECK(budget_bytes >= 0);
}

EncoderRoom EncoderCache::acquire(uint64_t image, int64_t num_bytes,
                                  std::vector<uint64_t>& dropped) {
  LLAVA_CHECK(num_bytes >= 0);
  if (const auto known = entries_.find(image); known != entries_.end()) {
    Entry& found = known->second;
    if (found.references++ == 0) {
      idle_.erase(found.idle);
      referenced_bytes_ += found.num_bytes;
    }
    if (found.is_ready) ++hits_;
    return found.is_ready ? EncoderRoom::kReady : EncoderRoom::kEncode;
  }
  const bool fits = num_bytes <= budget_bytes_ - referenced_bytes_;
  if (!fits && referenced_bytes_ > 0) return EncoderRoom::kFull;
  while (!idle_.empty() && used_bytes_ + num_bytes > budget_bytes_) drop_oldest(dropped);
  entries_.emplace(image,
                   Entry{.num_bytes = num_bytes, .references = 1, .is_ready = false, .idle = {}});
  used_bytes_ += num_bytes;
  referenced_bytes_ += num_bytes;
  ++misses_;
  return EncoderRoom::kEncode;
}

void EncoderCache::set_ready(uint64_t image) { entry(image).is_ready = true; }

bool EncoderCache::is_ready(uint64_t image) const {
  const auto it = entries_.find(image);
  return it != entries_.end() && it->second.is_ready;
}

void EncoderCache::release(uint64_t image) {
  Entry& released = entry(image);
  LLAVA_CHECK(released.references > 0, "features of picture {} are not in use", image);
  if (--released.references > 0) return;
  referenced_bytes_ -= released.num_bytes;
  if (released.is_ready) {
    released.idle = idle_.insert(idle_.end(), image);
  } else {
    used_bytes_ -= released.num_bytes;
    entries_.erase(image);
  }
}

void EncoderCache::clear(std::vector<uint64_t>& dropped) {
  while (!idle_.empty()) drop_oldest(dropped);
}

EncoderCache::Entry& EncoderCache::entry(uint64_t image) {
  const auto it = entries_.find(image);
  LLAVA_CHECK(it != entries_.end(), "picture {} is not in the encoder cache", image);
  return it->second;
}

void EncoderCache::drop_oldest(std::vector<uint64_t>& dropped) {
  const uint64_t image = idle_.front();
  idle_.pop_front();
  used_bytes_ -= entry(image).num_bytes;
  entries_.erase(image);
  dropped.push_back(image);
}

}  // namespace llava::engine
