// SPDX-License-Identifier: Apache-2.0
//
// The merge-rank core that every byte-pair tokenizer shares: a table of ranked pair merges and the
// loop that applies them. SentencePiece BPE, tokenizer.json and GGUF vocabularies fill the table
// differently and run the same loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "llava/text/pair_map.h"

namespace llava::text {

/// A run of text that is one symbol so far. Ids outside the merge table, such as negative ones,
/// never merge.
struct Symbol {
  int32_t id = 0;
  uint32_t num_bytes = 0;  ///< at least 1
};

/// What two neighbours become, and how early.
struct Merge {
  int32_t rank = 0;
  int32_t result = 0;
};

/// Remembers how the results in `wanted` were last proposed, so that they can be taken apart again.
struct SplitLog {
  const std::vector<bool>* wanted = nullptr;  ///< by result id
  std::unordered_map<int32_t, std::pair<int32_t, int32_t>> splits;
};

/// Ranked merges of symbol pairs.
///
/// Threads: const use is safe to share.
class MergeTable {
 public:
  /// Adds a merge; a later one for the same pair replaces the earlier.
  void add(int32_t left, int32_t right, Merge merge);

  /// Declares that the initial symbols `left` and `right` can be neighbours inside some result.
  /// Once one joint is declared, long texts are cut at every pair that was not: no merge crosses
  /// it.
  void add_joint(int32_t left, int32_t right);

  const Merge* find(int32_t left, int32_t right) const noexcept {
    return merges_.find(static_cast<uint32_t>(left), static_cast<uint32_t>(right));
  }

  /// Repeats the merge of lowest rank, leftmost first among equals, until none applies.
  void apply(std::vector<Symbol>& symbols) const;

  /// The same, noting proposals in `log`.
  void apply(std::vector<Symbol>& symbols, SplitLog& log) const;

 private:
  bool may_join(const Symbol& left, const Symbol& right) const noexcept;
  std::size_t merge_run(std::span<Symbol> run) const;
  std::size_t merge_short(std::span<Symbol> run) const;
  std::size_t merge_long(std::span<Symbol> run, SplitLog* log) const;

  PairMap<Merge> merges_;
  PairMap<uint8_t> joints_;
};

}  // namespace llava::text
