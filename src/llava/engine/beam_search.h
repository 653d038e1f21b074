// SPDX-License-Identifier: Apache-2.0
//
// Beam search as the published library runs it for one prompt, one step at a time: logits in, the
// beams to go on with out. It knows no model; whoever drives it forks and releases sequences.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "llava/core/random.h"
#include "llava/engine/generation.h"

namespace llava::engine {

/// A beam of the next step: a beam of the last one and the token that extends it.
struct BeamToken {
  std::size_t parent = 0;  ///< place in the last list; 0 after the prompt
  int32_t id = 0;

  friend bool operator==(const BeamToken&, const BeamToken&) = default;
};

/// With or without sampling. A search starts with one beam, the prompt.
///
/// Of the sampling settings it takes those that the published library's beam search has:
/// temperature, top-k, top-p, repetition penalty, seed.
///
/// Threads: one thread at a time.
/// Source: transformers 4.57 `GenerationMixin._beam_search`.
class BeamSearch {
 public:
  /// The settings must be valid (validate in generation.h).
  explicit BeamSearch(GenerationParams params);

  /// Takes the logits that follow each live beam, in the order of the last list, and returns the
  /// beams to go on with; none when the search is over.
  ///
  /// Throws: Error(kBadFormat) for logits that are no numbers; Error(kInternal) if the number of
  /// rows is not that of the live beams.
  const std::vector<BeamToken>& step(std::span<const std::span<const float>> logits);

  bool is_over() const noexcept { return is_over_; }
  std::size_t num_live() const noexcept { return beams_.size(); }
  /// The best answer once the search is over; before, the most likely beam, as cancelled.
  Generated result() const;

 private:
  struct Beam {
    std::vector<int32_t> ids;
    double sum = 0;  // of log-probabilities
  };
  struct Candidate {
    std::size_t beam = 0;
    int32_t id = 0;
    double sum = 0;
  };
  struct Hypothesis {
    std::vector<int32_t> ids;
    double score = 0;
  };

  std::vector<Candidate> rank(std::span<const std::span<const float>> logits);
  std::vector<Candidate> split_off_finished(const std::vector<Candidate>& ranked);
  void process(std::span<float> scores, const std::vector<int32_t>& ids) const;
  void add_finished(const Candidate& candidate);
  bool is_end(int32_t id) const;
  bool is_decided(double best_running) const;
  double score_of(double sum, std::size_t length) const;

  GenerationParams params_;
  Generator generator_;
  std::vector<Beam> beams_ = {Beam{}};
  std::vector<Hypothesis> finished_;  ///< best first, at most num_beams
  std::vector<BeamToken> next_;
  int32_t length_ = 0;
  bool is_over_ = false;
};

}  // namespace llava::engine
