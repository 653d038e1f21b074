// SPDX-License-Identifier: Apache-2.0
//
// LruMap: a map of bounded size that forgets what was used longest ago.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <unordered_map>
#include <utility>

#include "llava/core/check.h"

namespace llava::engine {

/// At most `capacity` entries. Keys are compared whole, so that a weak `Hash` costs time and never
/// a wrong answer.
///
/// Threads: one thread at a time.
template <class Key, class Value, class Hash = std::hash<Key>>
class LruMap {
 public:
  explicit LruMap(std::size_t capacity) : capacity_(capacity) { LLAVA_CHECK(capacity > 0); }
  LruMap(LruMap&&) noexcept = default;
  LruMap& operator=(LruMap&&) noexcept = default;

  std::size_t size() const noexcept { return index_.size(); }

  /// The value of `key`, now the most recently used, or null.
  Value* find(const Key& key) {
    const auto it = index_.find(key);
    if (it == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, it->second);
    return &it->second->second;
  }

  /// Sets the value of `key`, which becomes the most recently used; may forget another.
  void put(const Key& key, Value value) {
    if (Value* known = find(key)) {
      *known = std::move(value);
      return;
    }
    if (index_.size() == capacity_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, std::move(value));
    index_.emplace(key, entries_.begin());
  }

 private:
  using Entries = std::list<std::pair<Key, Value>>;

  std::size_t capacity_;
  Entries entries_;  // most recently used first
  std::unordered_map<Key, typename Entries::iterator, Hash> index_;
};

}  // namespace llava::engine
