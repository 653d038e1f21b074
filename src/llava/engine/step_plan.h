// SPDX-License-Identifier: Apache-2.0
//
// What one step of the engine computes: plain integers that the scheduler writes and a Runner
// carries out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "llava/engine/symbols.h"
#include "llava/model/attention_maps.h"

namespace llava::engine {

/// Names one sequence for the scheduler's lifetime; never used twice.
using SequenceId = int64_t;

/// Copies the first `num_tokens` positions of a page: a forked sequence gets its own last page.
struct PageCopy {
  int32_t from = 0;
  int32_t to = 0;
  int32_t num_tokens = 0;
};

/// Asks for where a sequence's positions look, in the place of their logits.
struct LookQuery {
  int32_t layer = model::kAllLayers;
  std::vector<model::PositionRange> ranges;  ///< of what is looked at; none ends beyond the first
                                             ///< position that looks
};

/// One sequence's share of a step: its positions [num_past, num_past + symbols.size()).
struct StepItem {
  SequenceId sequence = 0;
  int32_t num_past = 0;
  std::vector<Symbol> symbols;
  /// Pages of positions 0 .. num_past + symbols.size() - 1; those below num_past are written.
  std::vector<int32_t> pages;
  /// Logits are wanted after symbols[first_logits ..]; symbols.size() when none are.
  int32_t first_logits = 0;
  /// When set, what is wanted there are maps of attention, not logits.
  std::optional<LookQuery> look;

  int32_t num_logits() const { return static_cast<int32_t>(symbols.size()) - first_logits; }
};

/// Carried out in this order: drop, encode, copy (one after the other), then all items as one
/// batch.
struct StepPlan {
  std::vector<uint64_t> images_to_drop;
  std::vector<uint64_t> images_to_encode;
  std::vector<PageCopy> copies;
  std::vector<StepItem> items;

  bool is_empty() const {
    return images_to_drop.empty() && images_to_encode.empty() && copies.empty() && items.empty();
  }
};

}  // namespace llava::engine
