// SPDX-License-Identifier: Apache-2.0
//
// Draft tokens from the sequence itself: what followed the last time the newest tokens occurred. No
// model and no tensors; whether drafts are right is for the verifying step to find out.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "llava/engine/draft_pace.h"

namespace llava::engine {

struct PromptLookupParams {
  int32_t min_match = 2;  ///< tokens that must have occurred before
  int32_t max_match = 4;  ///< longer matches are looked for first
  int32_t max_draft = 8;  ///< tokens drafted at most
  double cost_per_token = kVerifyCost;
};

/// Drafts for one sequence, as long as they pay (draft_pace.h).
///
/// Negative ids stand for pictures: they match nothing and are never drafted.
///
/// Threads: one thread at a time.
/// Source: the idea is that of "prompt lookup decoding" (Saxena, 2023).
class PromptLookup {
 public:
  /// Throws: Error(kInvalidArgument) unless 1 <= min_match <= max_match <= 16, max_draft >= 1 and
  /// the cost is a number of at least 0.
  PromptLookup(PromptLookupParams params, std::span<const int32_t> prompt);

  /// Takes a token of the answer.
  void append(int32_t id);

  /// What may come next, at most `limit` tokens; valid until the next call. Empty when nothing was
  /// found or drafting does not pay now.
  std::span<const int32_t> draft(int32_t limit);

  /// Says how many tokens of a draft were right.
  void report(int32_t num_drafted, int32_t num_accepted);

  int64_t num_drafted() const noexcept { return num_drafted_; }
  int64_t num_accepted() const noexcept { return num_accepted_; }

 private:
  /// Where what followed the newest `size` tokens begins, or -1.
  int64_t continuation(int32_t size) const;
  uint64_t hash_of(std::size_t end, int32_t size) const;
  void index_newest();

  PromptLookupParams params_;
  std::vector<int32_t> ids_;
  /// Hash of the tokens of a match, and its size: the place behind its latest occurrence. Another
  /// match with the same hash takes the place over, so a place is checked before use.
  std::unordered_map<uint64_t, uint32_t> places_;
  DraftPace pace_;
  int64_t num_drafted_ = 0;
  int64_t num_accepted_ = 0;
};

}  // namespace llava::engine
