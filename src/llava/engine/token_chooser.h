// SPDX-License-Identifier: Apache-2.0
//
// The choice of the next token of one sequence: every processor of the sampling settings in its
// fixed order, then the most likely token or one draw.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "llava/engine/sampler.h"

namespace llava::engine {

/// Natural logarithm of a token's probability.
struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;

  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

/// A chosen token. The log-probabilities are set when SamplingParams::num_logprobs asks for them.
struct TokenChoice {
  int32_t id = 0;
  float logprob = 0;
  std::vector<TokenLogprob> top;  ///< the most likely tokens, the lower id first on a tie
};

/// What a TokenChooser is made from besides the settings.
struct ChooserContext {
  /// Ids that end the answer.
  std::vector<int32_t> end_ids;
  /// Ids of the prompt that the repetition penalty counts: its text, not its pictures.
  std::vector<int32_t> penalty_ids;
  /// Ids at and above this one do not exist (rows of the table beyond the tokenizer); 0: all do.
  int32_t num_ids = 0;
  /// Which of several answers to one prompt this is.
  int32_t choice_index = 0;
};

/// Working memory of choices. One serves all sequences of a thread.
struct ChooserScratch {
  struct Candidate {
    float value = 0;  ///< logit over temperature
    int32_t id = 0;
  };
  std::vector<Candidate> candidates;
  std::vector<double> weights;
  std::vector<Candidate> changed;  ///< logits to put back
};

/// Chooses the tokens of one sequence.
///
/// Order: logit bias, repetition penalty (prompt text and answer), presence and frequency penalty
/// (answer), no end token before the minimum length, grammar mask, temperature, top-k (the lower id
/// on a tie), top-p (the smallest set that reaches p), min-p, one draw. When the grammar allows
/// nothing but the end, the minimum length gives way. The draw is a function of the seed, the
/// choice index and the number of tokens accepted so far, so it depends on nothing else in the
/// batch.
///
/// Log-probabilities are those of the model: log-softmax of its logits before every step above,
/// over the ids that exist.
///
/// Threads: one thread at a time.
class TokenChooser {
 public:
  /// The settings must be valid (validate in generation.h).
  TokenChooser(SamplingParams params, ChooserContext context);

  /// The next token. `allowed` has a bit for each id, bit 0 of word 0 first; empty: all are. The
  /// logits are as before when it returns.
  ///
  /// Throws: Error(kBadFormat) for logits that are no numbers or infinite, or when no allowed one
  /// is finite; Error(kInvalidArgument) if `allowed` has too few words.
  TokenChoice choose(std::span<float> logits, ChooserScratch& scratch,
                     std::span<const uint64_t> allowed = {}) const;

  /// Takes a token into the answer; the next choice is that of the next position.
  void accept(int32_t id);

  /// Tokens accepted so far.
  int64_t num_accepted() const noexcept { return num_accepted_; }

 private:
  struct Seen {
    int32_t id = 0;
    int32_t num_in_answer = 0;
  };
  class Changes;

  bool has_penalties() const;
  void add(int32_t id, int32_t times);
  void apply_penalties(Changes& changes) const;
  int32_t draw_from(std::span<const float> logits, std::span<const uint64_t> allowed, float largest,
                    ChooserScratch& scratch) const;

  SamplingParams params_;
  ChooserContext context_;
  std::vector<Seen> seen_;
  std::unordered_map<int32_t, std::size_t> place_of_;  ///< in seen_
  int64_t num_accepted_ = 0;
};

}  // namespace llava::engine
