// SPDX-License-Identifier: Apache-2.0
//
// Whom the scheduler admits: there must be pages for the prompt and for the answer that is
// expected, beside what the running sequences are expected to take. One whose prompt begins as that
// which a running sequence is about to compute waits for it, so that questions about one picture
// which come together share its keys and values.
#include <algorithm>
#include <cstddef>

#include "llava/engine/scheduler.h"

namespace llava::engine {
namespace {

// Waiting sequences that others may pass in one step: finding each goes through the whole queue.
constexpr std::size_t kMostPassedOver = 16;

}  // namespace

// Whether there are pages for the whole sequence and its expected output, beside what the running
// ones are expected to take.
bool Scheduler::can_admit(const Sequence& sequence, int32_t num_cached) const {
  if (running_.empty()) return true;
  if (static_cast<int32_t>(running_.size()) >= config_.max_running_requests) return false;
  const auto pages_wanted = [&](const Sequence& s) {
    const double more =
        answer_length_.expected_more(s.num_tokens() - s.prompt_tokens, s.max_new_tokens);
    return pages_for(s.num_tokens() + static_cast<int64_t>(more));
  };
  int64_t promised = 0;
  for (const SequenceId id : running_) {
    const Sequence& other = get(id);
    promised += std::max(0, pages_wanted(other) - static_cast<int32_t>(other.pages.size()));
  }
  // Cached pages that nobody uses count as obtainable until this sequence takes them.
  const int64_t own = pages_wanted(sequence) - num_cached / config_.page_size;
  return promised + own <= num_obtainable() - num_cached / config_.page_size;
}

// It is when the wait saves half of what this one would compute itself. The wait ends: what runs
// goes on in every step, and its prompt is in the prefix tree as far as it is computed.
bool Scheduler::is_prefix_coming(const Sequence& sequence, int32_t num_cached) const {
  if (!has_prefix_cache()) return false;
  const std::span<const Symbol> wanted = sequence.cacheable();
  return std::ranges::any_of(running_, [&](SequenceId id) {
    const Sequence& other = get(id);
    if (other.num_computed >= other.prompt_tokens || other.cache_scope != sequence.cache_scope) {
      return false;
    }
    const auto most = std::min(wanted.size() - 1, static_cast<std::size_t>(other.prompt_tokens));
    const auto end = wanted.begin() + static_cast<std::ptrdiff_t>(most);
    const auto common = std::mismatch(wanted.begin(), end, other.symbols.begin()).first;
    const auto num_common = static_cast<int32_t>(common - wanted.begin());
    const int32_t saved = num_common / config_.page_size * config_.page_size - num_cached;
    return saved > 0 && 2 * saved >= sequence.num_tokens() - num_cached;
  });
}

void Scheduler::admit(Sequence& sequence) {
  waiting_.remove(sequence.id);
  sequence.is_running = true;
  if (has_prefix_cache()) {
    sequence.lock = tree_.match(sequence.cache_scope, sequence.cacheable(), sequence.pages);
    sequence.num_computed = sequence.lock.num_pages * config_.page_size;
  }
  if (!sequence.has_started) {
    sequence.has_started = true;
    sequence.num_cached_tokens = sequence.num_computed;
    stats_.prompt_tokens += sequence.prompt_tokens;
    stats_.cached_tokens += sequence.num_computed;
  }
  sequence.num_charged = std::max(sequence.num_charged, sequence.num_computed);
  running_.push_back(sequence.id);
}

void Scheduler::plan_admissions(StepPlan& plan, int32_t& token_budget, int32_t& chunk_budget,
                                int64_t now_ms) {
  const auto cached_tokens = [&](SequenceId id) {
    const Sequence& sequence = get(id);
    return has_prefix_cache() ? tree_.peek(sequence.cache_scope, sequence.cacheable()) : 0;
  };
  std::vector<SequenceId> passed_over;
  while (token_budget > 0 && chunk_budget > 0) {
    const auto next = waiting_.next(now_ms, cached_tokens, passed_over);
    if (!next) return;
    Sequence& sequence = get(*next);
    const int32_t num_cached = cached_tokens(*next);
    if (is_prefix_coming(sequence, num_cached)) {
      passed_over.push_back(*next);
      if (passed_over.size() == kMostPassedOver) return;
      continue;
    }
    if (!can_admit(sequence, num_cached)) return;
    admit(sequence);
    plan_one_chunk(sequence, plan, token_budget, chunk_budget);
  }
}

}  // namespace llava::engine
