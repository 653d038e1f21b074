// SPDX-License-Identifier: Apache-2.0
//
// How far to guess ahead: whether and how long a draft pays follows from what became of the last
// ones. No clock, so that the same request always does the same.
#pragma once

#include <cstdint>

namespace llava::engine {

/// Time of one more token in a verifying step, as a share of the time of a step with one.
inline constexpr double kVerifyCost = 0.15;

/// The length of one sequence's drafts. It grows while all is accepted and shrinks to what was;
/// while drafts cost more than they save there are none, for longer each time.
///
/// Threads: one thread at a time.
class DraftPace {
 public:
  /// `cost_per_token` is the time of one drafted token, verified, as a share of the time of a step
  /// with one token.
  DraftPace(int32_t max_draft, double cost_per_token);

  /// Most tokens to draft now; 0 during a pause, whose length is counted in calls.
  int32_t next_length();

  /// Says how many tokens of a draft were right.
  void report(int32_t num_drafted, int32_t num_accepted);

 private:
  int32_t max_draft_;
  double cost_per_token_;
  int32_t length_;     ///< of the next draft
  double gain_ = 0;    ///< recent average of steps saved by a draft, less its cost
  int32_t pause_ = 0;  ///< length of the next pause
  int32_t pause_left_ = 0;
};

}  // namespace llava::engine
