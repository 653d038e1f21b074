// SPDX-License-Identifier: Apache-2.0
//
// A trie over bytes: user-defined pieces, added tokens and the vocabulary of unigram models are
// matched against the text with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "llava/text/pair_map.h"

namespace llava::text {

/// Maps byte strings to non-negative values.
///
/// Threads: const lookups are safe to share.
class ByteTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = ~uint32_t{0};

  /// Adds a non-empty key; an existing key keeps its first value.
  void insert(std::string_view key, int32_t value);

  bool empty() const noexcept { return values_.size() == 1; }
  /// The node below `node` for the next byte, or kNone.
  uint32_t child(uint32_t node, char byte) const noexcept {
    const uint32_t* next = edges_.find(node, static_cast<uint8_t>(byte));
    return next != nullptr ? *next : kNone;
  }
  /// The value of the key that ends at `node`, or -1.
  int32_t value(uint32_t node) const noexcept { return values_[node]; }

  struct Match {
    std::size_t length;
    int32_t value;
  };
  /// The longest key that the text has at byte `at`.
  std::optional<Match> longest_match(std::string_view text, std::size_t at) const noexcept;

 private:
  PairMap<uint32_t> edges_;
  std::vector<int32_t> values_ = {-1};
};

}  // namespace llava::text
