// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/token_chooser.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "llava/core/error.h"
#include "llava/engine/logprobs.h"

namespace llava::engine {
namespace {

using Candidate = ChooserScratch::Candidate;

constexpr std::size_t kNone = ~std::size_t{0};

bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.value > b.value || (a.value == b.value && a.id < b.id);
}

// The largest value, or not-a-number if any value is. Independent lanes, so that it is vectorised:
// so many that GCC keeps the loop over them, which it would else unroll and compute one by one.
float largest_of(std::span<const float> values) {
  constexpr std::size_t kLanes = 64;
  constexpr int32_t kInfinityBits = 0x7F800000;
  std::array<float, kLanes> largest;
  largest.fill(kMinusInfinity);
  std::array<int32_t, kLanes> worst{};
  const std::size_t whole = values.size() / kLanes * kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      largest[lane] = value > largest[lane] ? value : largest[lane];
      worst[lane] |= (std::bit_cast<int32_t>(value) & 0x7FFFFFFF) > kInfinityBits ? 1 : 0;
    }
  }
  for (std::size_t i = whole; i < values.size(); ++i) {
    largest[0] = std::max(largest[0], values[i]);
    worst[0] |= std::isnan(values[i]) ? 1 : 0;
  }
  const bool has_nan =
      std::any_of(worst.begin(), worst.end(), [](int32_t bit) { return bit != 0; });
  return has_nan ? std::numeric_limits<float>::quiet_NaN()
                 : *std::max_element(largest.begin(), largest.end());
}

// Calls visit(id) for every allowed id below `count`, in order.
template <class Visit>
void for_each_allowed(std::span<const uint64_t> allowed, std::size_t count, Visit&& visit) {
  if (allowed.empty()) {
    for (std::size_t id = 0; id < count; ++id) visit(id);
    return;
  }
  const std::size_t num_words = (count + 63) / 64;
  for (std::size_t word = 0; word < num_words; ++word) {
    uint64_t bits = allowed[word];
    if (word + 1 == num_words && count % 64 != 0) bits &= (uint64_t{1} << count % 64) - 1;
    for (; bits != 0; bits &= bits - 1) {
      visit(word * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
    }
  }
}

// The first place of the largest value; kNone if that is minus infinity.
std::size_t place_of(std::span<const float> logits, float largest) {
  if (largest == kMinusInfinity) return kNone;
  return static_cast<std::size_t>(std::find(logits.begin(), logits.end(), largest) -
                                  logits.begin());
}

// The most likely allowed id, the lowest on a tie; kNone if none is above minus infinity.
std::size_t most_likely(std::span<const float> logits, std::span<const uint64_t> allowed) {
  if (allowed.empty()) return place_of(logits, largest_of(logits));
  std::size_t best = kNone;
  float largest = kMinusInfinity;
  for_each_allowed(allowed, logits.size(), [&](std::size_t id) {
    if (logits[id] > largest) {
      largest = logits[id];
      best = id;
    }
  });
  return best;
}

// The k most likely candidates, in any order.
void keep_top_k(std::vector<Candidate>& candidates, std::size_t k) {
  if (k == 0 || candidates.size() <= k) return;
  const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(k);
  // A heap of the best so far, the least likely on top: most candidates cost one comparison.
  std::make_heap(candidates.begin(), end, is_likelier);
  for (auto candidate = end; candidate != candidates.end(); ++candidate) {
    if (!is_likelier(*candidate, candidates.front())) continue;
    std::pop_heap(candidates.begin(), end, is_likelier);
    *(end - 1) = *candidate;
    std::push_heap(candidates.begin(), end, is_likelier);
  }
  candidates.erase(end, candidates.end());
}

// The smallest set of most likely candidates that reaches the share p of all weight.
void keep_top_p(std::vector<Candidate>& candidates, float p, float largest) {
  if (p >= 1.0f) return;
  const auto weight = [&](const Candidate& candidate) {
    return std::exp(static_cast<double>(candidate.value) - static_cast<double>(largest));
  };
  double total = 0;
  for (const Candidate& candidate : candidates) total += weight(candidate);
  const double enough = static_cast<double>(p) * total;
  // Those below an even share of what may be left out are outside, all together. The factor keeps
  // clear of rounding.
  const double even_share = 0.5 * (total - enough) / static_cast<double>(candidates.size());
  const double lowest = std::log(even_share) + static_cast<double>(largest);
  std::erase_if(candidates, [&](const Candidate& candidate) {
    return static_cast<double>(candidate.value) < lowest;
  });
  // Sorts only about as many as it keeps.
  double sum = 0;
  std::size_t sorted = 0;
  for (std::size_t end = 64; sorted < candidates.size(); end *= 4) {
    end = std::min(end, candidates.size());
    const auto first = candidates.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto last = candidates.begin() + static_cast<std::ptrdiff_t>(end);
    if (last != candidates.end()) std::nth_element(first, last, candidates.end(), is_likelier);
    std::sort(first, last, is_likelier);
    for (; sorted < end; ++sorted) {
      sum += weight(candidates[sorted]);
      if (sum >= enough) {
        candidates.resize(sorted + 1);
        return;
      }
    }
  }
}

[[noreturn]] void fail_damaged(int64_t num_accepted) {
  fail(ErrorCode::kBadFormat,
       "the model's scores for token {} of the answer are not numbers: its weights are damaged, "
       "or too large for the compute type; try --dtype float32",
       num_accepted + 1);
}

}  // namespace

/// Logits changed in place, and put back at the end.
class TokenChooser::Changes {
 public:
  Changes(std::span<float> logits, std::vector<Candidate>& old) : logits_(logits), old_(old) {
    old_.clear();
  }
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;
  ~Changes() { undo_to(0); }

  std::size_t mark() const noexcept { return old_.size(); }
  void undo_to(std::size_t mark) noexcept {
    for (; old_.size() > mark; old_.pop_back()) {
      logits_[static_cast<std::size_t>(old_.back().id)] = old_.back().value;
    }
  }
  /// Ids outside are ignored.
  template <class Change>
  void apply(int32_t id, Change&& change) {
    if (id < 0 || static_cast<std::size_t>(id) >= logits_.size()) return;
    float& value = logits_[static_cast<std::size_t>(id)];
    old_.push_back({value, id});
    value = change(value);
  }

 private:
  std::span<float> logits_;
  std::vector<Candidate>& old_;
};

TokenChooser::TokenChooser(SamplingParams params, ChooserContext context)
    : params_(std::move(params)), context_(std::move(context)) {
  if (params_.repetition_penalty != 1.0f) {
    for (const int32_t id : context_.penalty_ids) add(id, 0);
  }
  context_.penalty_ids = {};
}

bool TokenChooser::has_penalties() const {
  return params_.repetition_penalty != 1.0f || params_.presence_penalty != 0.0f ||
         params_.frequency_penalty != 0.0f;
}

void TokenChooser::add(int32_t id, int32_t times) {
  const auto [found, is_new] = place_of_.try_emplace(id, seen_.size());
  if (is_new) seen_.push_back({id, 0});
  seen_[found->second].num_in_answer += times;
}

void TokenChooser::accept(int32_t id) {
  if (has_penalties()) add(id, 1);
  ++num_accepted_;
}

void TokenChooser::apply_penalties(Changes& changes) const {
  for (const TokenBias& entry : params_.logit_bias) {
    changes.apply(entry.id, [&](float value) { return value + entry.bias; });
  }
  for (const Seen& seen : seen_) {
    changes.apply(seen.id, [&](float value) {
      // arXiv:1909.05858, as published.
      const float penalty = params_.repetition_penalty;
      value = value < 0 ? value * penalty : value / penalty;
      if (seen.num_in_answer == 0) return value;
      return value - params_.presence_penalty -
             params_.frequency_penalty * static_cast<float>(seen.num_in_answer);
    });
  }
}

TokenChoice TokenChooser::choose(std::span<float> logits, ChooserScratch& scratch,
                                 std::span<const uint64_t> allowed) const {
  if (context_.num_ids > 0 && static_cast<std::size_t>(context_.num_ids) < logits.size()) {
    logits = logits.first(static_cast<std::size_t>(context_.num_ids));
  }
  if (!allowed.empty() && allowed.size() < (logits.size() + 63) / 64) {
    fail(ErrorCode::kInvalidArgument, "a token mask has {} words, expected {} for {} ids",
         allowed.size(), (logits.size() + 63) / 64, logits.size());
  }
  const float largest = largest_of(logits);
  if (!std::isfinite(largest)) fail_damaged(num_accepted_);
  TokenChoice choice;
  double log_total = 0;
  if (params_.num_logprobs >= 0) {
    log_total = log_sum_exp(logits);
    choice.top = top_logprobs(logits, params_.num_logprobs, log_total);
  }
  {
    Changes changes(logits, scratch.changed);
    apply_penalties(changes);
    const std::size_t before_minimum = changes.mark();
    if (num_accepted_ < params_.min_tokens) {
      for (const int32_t id : context_.end_ids) {
        changes.apply(id, [](float) { return kMinusInfinity; });
      }
    }
    const bool is_plain = allowed.empty() && changes.mark() == 0;
    std::size_t best = is_plain ? place_of(logits, largest) : most_likely(logits, allowed);
    if (best == kNone) {
      changes.undo_to(before_minimum);
      best = most_likely(logits, allowed);
    }
    if (best == kNone) fail_damaged(num_accepted_);
    choice.id = params_.is_greedy()
                    ? static_cast<int32_t>(best)
                    : draw_from(logits, allowed, logits[best] / params_.temperature, scratch);
  }
  if (params_.num_logprobs >= 0) {
    choice.logprob = static_cast<float>(
        static_cast<double>(logits[static_cast<std::size_t>(choice.id)]) - log_total);
  }
  return choice;
}

int32_t TokenChooser::draw_from(std::span<const float> logits, std::span<const uint64_t> allowed,
                                float largest, ChooserScratch& scratch) const {
  std::vector<Candidate>& candidates = scratch.candidates;
  candidates.clear();
  for_each_allowed(allowed, logits.size(), [&](std::size_t id) {
    if (logits[id] == kMinusInfinity) return;
    candidates.push_back({logits[id] / params_.temperature, static_cast<int32_t>(id)});
  });
  keep_top_k(candidates, static_cast<std::size_t>(std::max(0, params_.top_k)));
  keep_top_p(candidates, params_.top_p, largest);
  // The draw runs over ids in order, whatever the filters did to it.
  const auto has_lower_id = [](const Candidate& a, const Candidate& b) { return a.id < b.id; };
  if (!std::is_sorted(candidates.begin(), candidates.end(), has_lower_id)) {
    std::sort(candidates.begin(), candidates.end(), has_lower_id);
  }
  std::vector<double>& weights = scratch.weights;
  weights.clear();
  double total = 0;
  for (const Candidate& candidate : candidates) {
    double weight = std::exp(static_cast<double>(candidate.value) - static_cast<double>(largest));
    if (weight < static_cast<double>(params_.min_p)) weight = 0;
    weights.push_back(weight);
    total += weight;
  }
  double left = total * uniform_at(params_.seed, static_cast<uint64_t>(context_.choice_index),
                                   static_cast<uint64_t>(num_accepted_));
  int32_t last = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = candidates[i].id;
    left -= weights[i];
    if (left < 0) break;
  }
  return last;
}

}  // namespace llava::engine
