// SPDX-License-Identifier: Apache-2.0
//
// Beam search as the published library runs it for one prompt.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "llava/core/check.h"
#include "llava/engine/generation.h"

namespace llava::engine {
namespace {

struct Beam {
  int32_t sequence = -1;
  std::vector<int32_t> ids;
  double sum = 0;  // of log-probabilities
};

struct Candidate {
  std::size_t beam = 0;
  int32_t id = 0;
  double sum = 0;
};

double score_of(double sum, std::size_t length, float length_penalty) {
  return sum / std::pow(static_cast<double>(length), static_cast<double>(length_penalty));
}

// The best finished hypotheses, at most `capacity` of them.
class Finished {
 public:
  Finished(std::size_t capacity, float length_penalty)
      : capacity_(capacity), length_penalty_(length_penalty) {}

  void add(std::vector<int32_t> ids, double sum) {
    const double score = score_of(sum, ids.size(), length_penalty_);
    if (is_full() && score <= worst()) return;
    hypotheses_.push_back({std::move(ids), score});
    std::stable_sort(hypotheses_.begin(), hypotheses_.end(),
                     [](const Entry& a, const Entry& b) { return a.score > b.score; });
    if (hypotheses_.size() > capacity_) hypotheses_.pop_back();
  }

  bool is_full() const { return hypotheses_.size() >= capacity_; }
  double worst() const { return hypotheses_.back().score; }
  std::pair<std::vector<int32_t>, double> best() const {
    return {hypotheses_.front().ids, hypotheses_.front().score};
  }

 private:
  struct Entry {
    std::vector<int32_t> ids;
    double score;
  };
  std::size_t capacity_;
  float length_penalty_;
  std::vector<Entry> hypotheses_;
};

class BeamSearch {
 public:
  BeamSearch(TokenModel& model, const GenerationParams& params)
      : model_(model),
        params_(params),
        generator_(params.seed),
        finished_(static_cast<std::size_t>(params.num_beams), params.length_penalty) {}

  Generated run(int32_t sequence, std::vector<float> first_logits, std::stop_token stop) {
    beams_.push_back({.sequence = sequence, .ids = {}, .sum = 0});
    std::vector<std::vector<float>> logits{std::move(first_logits)};
    bool is_cancelled = false;
    for (int32_t length = 1;; ++length) {
      if (stop.stop_requested()) {
        is_cancelled = true;
        break;
      }
      const std::vector<Candidate> running = advance(logits);
      if (running.empty() || is_done(running.front().sum, length)) {
        is_over_ = true;
      }
      if (is_over_ || length >= params_.max_new_tokens) {
        if (!is_over_) add_unfinished(running);
        break;
      }
      logits = extend(running);
    }
    return conclude(is_cancelled);
  }

 private:
  // Scores all continuations, stores those that end, returns the best num_beams that go on.
  std::vector<Candidate> advance(std::vector<std::vector<float>>& logits) {
    const std::vector<Candidate> ranked = rank(logits);
    const auto width = static_cast<std::size_t>(params_.num_beams);
    std::vector<Candidate> running;
    for (std::size_t place = 0; place < ranked.size() && running.size() < width; ++place) {
      const Candidate& candidate = ranked[place];
      if (!is_end(candidate.id)) {
        running.push_back(candidate);
      } else if (place < width) {
        std::vector<int32_t> ids = beams_[candidate.beam].ids;
        ids.push_back(candidate.id);
        finished_.add(std::move(ids), candidate.sum);
      }
    }
    return running;
  }

  std::vector<Candidate> rank(std::vector<std::vector<float>>& logits) {
    const std::size_t vocabulary = logits.front().size();
    std::vector<float> sums;
    for (std::size_t beam = 0; beam < beams_.size(); ++beam) {
      std::vector<float> scores = log_softmax(logits[beam]);
      process_logits(scores, params_, beams_[beam].ids);
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

  bool is_end(int32_t id) const {
    return std::find(params_.end_ids.begin(), params_.end_ids.end(), id) != params_.end_ids.end();
  }

  bool is_done(double best_running, int32_t length) const {
    if (!finished_.is_full()) return false;
    if (params_.early_stopping == EarlyStopping::kTrue) return true;
    const bool looks_ahead =
        params_.early_stopping == EarlyStopping::kNever && params_.length_penalty > 0.0f;
    const auto at = static_cast<std::size_t>(looks_ahead ? params_.max_new_tokens : length);
    return finished_.worst() >= score_of(best_running, at, params_.length_penalty);
  }

  // The last use of a parent's sequence takes it over; earlier ones fork it.
  std::vector<std::vector<float>> extend(const std::vector<Candidate>& running) {
    std::vector<int> uses(beams_.size(), 0);
    for (const Candidate& candidate : running) ++uses[candidate.beam];
    for (std::size_t i = 0; i < beams_.size(); ++i) {
      if (uses[i] == 0) model_.release(beams_[i].sequence);
    }
    std::vector<Beam> next;
    std::vector<SequenceToken> tokens;
    for (const Candidate& candidate : running) {
      const Beam& parent = beams_[candidate.beam];
      const bool is_last = --uses[candidate.beam] == 0;
      Beam beam{.sequence = is_last ? parent.sequence : model_.fork(parent.sequence),
                .ids = parent.ids,
                .sum = candidate.sum};
      beam.ids.push_back(candidate.id);
      tokens.push_back({beam.sequence, candidate.id});
      next.push_back(std::move(beam));
    }
    beams_ = std::move(next);
    return model_.step(tokens);
  }

  // At the length limit the running beams compete with the finished ones.
  void add_unfinished(const std::vector<Candidate>& running) {
    for (const Candidate& candidate : running) {
      std::vector<int32_t> ids = beams_[candidate.beam].ids;
      ids.push_back(candidate.id);
      finished_.add(std::move(ids), candidate.sum);
    }
  }

  Generated conclude(bool is_cancelled) {
    if (is_cancelled) {
      Generated partial{.ids = beams_.front().ids, .finish_reason = FinishReason::kCancelled};
      return partial;
    }
    auto [ids, score] = finished_.best();
    const bool has_end = !ids.empty() && is_end(ids.back());
    return {.ids = std::move(ids),
            .finish_reason = has_end ? FinishReason::kEndToken : FinishReason::kLength,
            .score = score};
  }

  TokenModel& model_;
  const GenerationParams& params_;
  Generator generator_;
  Finished finished_;
  std::vector<Beam> beams_;
  bool is_over_ = false;
};

}  // namespace

Generated beam_search(TokenModel& model, int32_t sequence, std::vector<float> first_logits,
                      const GenerationParams& params, std::stop_token stop) {
  validate(params);
  return BeamSearch(model, params).run(sequence, std::move(first_logits), stop);
}

}  // namespace llava::engine
