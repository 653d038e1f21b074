// SPDX-License-Identifier: Apache-2.0
//
// A flat hash map from two 32-bit numbers to a small value: merge tables and trie edges are looked
// up once per character, where the standard map's pointers cost more than everything else.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace llava::text {

/// Open addressing with linear probing, at most half full. The pair (2^32-1, 2^32-1) is
/// never found and must not be inserted.
///
/// Threads: const lookups are safe to share.
template <class Value>
class PairMap {
 public:
  std::size_t size() const noexcept { return size_; }

  const Value* find(uint32_t first, uint32_t second) const noexcept {
    if (entries_.empty()) return nullptr;
    const uint64_t key = key_of(first, second);
    for (std::size_t at = slot_of(key);; at = (at + 1) & (entries_.size() - 1)) {
      if (entries_[at].key == kEmpty) return nullptr;
      if (entries_[at].key == key) return &entries_[at].value;
    }
  }

  void insert_or_assign(uint32_t first, uint32_t second, Value value) {
    if (2 * (size_ + 1) > entries_.size()) grow();
    place(key_of(first, second), std::move(value));
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Entry {
    uint64_t key = kEmpty;
    Value value{};
  };

  static uint64_t key_of(uint32_t first, uint32_t second) noexcept {
    return (uint64_t{first} << 32) | second;
  }

  /// The finalizer of splitmix64: every bit of the key reaches the slot.
  std::size_t slot_of(uint64_t key) const noexcept {
    key = (key ^ (key >> 30)) * 0xBF58476D1CE4E5B9u;
    key = (key ^ (key >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::size_t>(key ^ (key >> 31)) & (entries_.size() - 1);
  }

  void place(uint64_t key, Value value) {
    std::size_t at = slot_of(key);
    while (entries_[at].key != kEmpty && entries_[at].key != key) {
      at = (at + 1) & (entries_.size() - 1);
    }
    if (entries_[at].key == kEmpty) ++size_;
    entries_[at] = {key, std::move(value)};
  }

  void grow() {
    std::vector<Entry> old = std::move(entries_);
    entries_.assign(std::bit_ceil(std::max<std::size_t>(16, 2 * old.size())), Entry{});
    size_ = 0;
    for (Entry& entry : old) {
      if (entry.key != kEmpty) place(entry.key, std::move(entry.value));
    }
  }

  std::vector<Entry> entries_;
  std::size_t size_ = 0;
};

}  // namespace llava::text
