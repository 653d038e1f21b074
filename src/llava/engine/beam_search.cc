// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "llava/core/check.h"
#include "llava/core/error.h"

namespace llava::engine {

BeamSearch::BeamSearch(GenerationParams params)
    : params_(std::move(params)), generator_(params_.sampling.seed) {}

const std::vector<BeamToken>& BeamSearch::step(std::span<const std::span<const float>> logits) {
  LLAVA_CHECK(!is_over_ && logits.size() == beams_.size());
  ++length_;
  next_.clear();
  const std::vector<Candidate> running = split_off_finished(rank(logits));
  if (running.empty() || is_decided(running.front().sum)) {
    is_over_ = true;
  } else if (length_ >= params_.max_new_tokens) {
    // At the length limit the running beams compete with the finished ones.
    for (const Candidate& candidate : running) add_finished(candidate);
    is_over_ = true;
  }
  if (is_over_) return next_;
  std::vector<Beam> extended;
  for (const Candidate& candidate : running) {
    Beam beam{.ids = beams_[candidate.beam].ids, .sum = candidate.sum};
    beam.ids.push_back(candidate.id);
    extended.push_back(std::move(beam));
    next_.push_back({candidate.beam, candidate.id});
  }
  beams_ = std::move(extended);
  return next_;
}

Generated BeamSearch::result() const {
  if (!is_over_) {
    return {.ids = beams_.front().ids, .finish_reason = FinishReason::kCancelled};
  }
  LLAVA_CHECK(!finished_.empty());
  const Hypothesis& best = finished_.front();
  const bool has_end = !best.ids.empty() && is_end(best.ids.back());
  return {.ids = best.ids,
          .finish_reason = has_end ? FinishReason::kEndToken : FinishReason::kLength,
          .score = best.score};
}

// Stores the candidates that end; returns the best num_beams that go on.
std::vector<BeamSearch::Candidate> BeamSearch::split_off_finished(
    const std::vector<Candidate>& ranked) {
  const auto width = static_cast<std::size_t>(params_.num_beams);
  std::vector<Candidate> running;
  for (std::size_t place = 0; place < ranked.size() && running.size() < width; ++place) {
    const Candidate& candidate = ranked[place];
    if (!is_end(candidate.id)) {
      running.push_back(candidate);
    } else if (place < width) {
      add_finished(candidate);
    }
  }
  return running;
}

// Forbidden ids, then the repetition penalty.
void BeamSearch::process(std::span<float> scores, const std::vector<int32_t>& ids) const {
  if (std::any_of(scores.begin(), scores.end(), [](float value) { return std::isnan(value); })) {
    fail(ErrorCode::kBadFormat,
         "the model's scores for token {} of the answer are not numbers: its weights are damaged, "
         "or too large for the compute type; try --dtype float32",
         ids.size() + 1);
  }
  if (params_.num_allowed_ids > 0) {
    for (auto i = static_cast<std::size_t>(params_.num_allowed_ids); i < scores.size(); ++i) {
      scores[i] = -std::numeric_limits<float>::infinity();
    }
  }
  if (params_.sampling.repetition_penalty == 1.0f) return;
  std::vector<int32_t> seen = params_.penalty_ids;
  seen.insert(seen.end(), ids.begin(), ids.end());
  apply_repetition_penalty(scores, seen, params_.sampling.repetition_penalty);
}

std::vector<BeamSearch::Candidate> BeamSearch::rank(
    std::span<const std::span<const float>> logits) {
  const std::size_t vocabulary = logits.front().size();
  std::vector<float> sums;
  sums.reserve(beams_.size() * vocabulary);
  for (std::size_t beam = 0; beam < beams_.size(); ++beam) {
    LLAVA_CHECK(logits[beam].size() == vocabulary);
    std::vector<float> scores = log_softmax(logits[beam]);
    process(scores, beams_[beam].ids);
    if (!params_.sampling.is_greedy()) filter_logits(scores, params_.sampling);
    for (const float score : scores) sums.push_back(score + static_cast<float>(beams_[beam].sum));
  }
  const std::size_t count =
      std::min(sums.size(), std::max<std::size_t>(2, 1 + params_.end_ids.size()) *
                                static_cast<std::size_t>(params_.num_beams));
  std::vector<int32_t> order;
  if (params_.sampling.is_greedy()) {
    order.resize(sums.size());
    std::iota(order.begin(), order.end(), 0);
    const auto is_better = [&](int32_t a, int32_t b) {
      const float x = sums[static_cast<std::size_t>(a)], y = sums[static_cast<std::size_t>(b)];
      return x > y || (x == y && a < b);
    };
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count),
                      order.end(), is_better);
    order.resize(count);
  } else {
    order = draw_without_replacement(sums, static_cast<int32_t>(count), generator_);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return sums[static_cast<std::size_t>(a)] > sums[static_cast<std::size_t>(b)];
    });
  }
  std::vector<Candidate> ranked;
  for (const int32_t place : order) {
    const auto index = static_cast<std::size_t>(place);
    if (!std::isfinite(sums[index])) continue;
    ranked.push_back({index / vocabulary, static_cast<int32_t>(index % vocabulary),
                      static_cast<double>(sums[index])});
  }
  return ranked;
}

bool BeamSearch::is_end(int32_t id) const {
  return std::find(params_.end_ids.begin(), params_.end_ids.end(), id) != params_.end_ids.end();
}

double BeamSearch::score_of(double sum, std::size_t length) const {
  return sum / std::pow(static_cast<double>(length), static_cast<double>(params_.length_penalty));
}

bool BeamSearch::is_decided(double best_running) const {
  if (finished_.size() < static_cast<std::size_t>(params_.num_beams)) return false;
  if (params_.early_stopping == EarlyStopping::kTrue) return true;
  const bool looks_ahead =
      params_.early_stopping == EarlyStopping::kNever && params_.length_penalty > 0.0f;
  const auto at = static_cast<std::size_t>(looks_ahead ? params_.max_new_tokens : length_);
  return finished_.back().score >= score_of(best_running, at);
}

void BeamSearch::add_finished(const Candidate& candidate) {
  std::vector<int32_t> ids = beams_[candidate.beam].ids;
  ids.push_back(candidate.id);
  const double score = score_of(candidate.sum, ids.size());
  const auto capacity = static_cast<std::size_t>(params_.num_beams);
  if (finished_.size() >= capacity && score <= finished_.back().score) return;
  const auto place =
      std::upper_bound(finished_.begin(), finished_.end(), score,
                       [](double mine, const Hypothesis& other) { return mine > other.score; });
  finished_.insert(place, {std::move(ids), score});
  if (finished_.size() > capacity) finished_.pop_back();
}

}  // namespace llava::engine
