// SPDX-License-Identifier: Apache-2.0
//
// How long answers are expected to get: what admission reserves pages for.
#pragma once

#include <cstdint>

namespace llava::engine {

/// Mean and deviation of the answers so far, made larger when too much was admitted (a preemption)
/// and smaller while all goes well.
///
/// Threads: one thread at a time.
class AnswerLength {
 public:
  /// Tokens that an answer of `num_so_far` tokens, `max_tokens` at most, is expected to add.
  double expected_more(int32_t num_so_far, int32_t max_tokens) const;

  /// An answer has ended with so many tokens.
  void note_answer(int32_t num_tokens);
  /// A sequence had to be pushed back.
  void note_preemption();
  /// A step was carried out.
  void note_step();

 private:
  double conservativeness_ = 1.0;
  int32_t clean_steps_ = 0;
  int64_t num_answers_ = 0;
  double mean_ = 0;
  double sum_of_squares_ = 0;
};

}  // namespace llava::engine
