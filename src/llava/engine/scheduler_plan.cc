// SPDX-License-Identifier: Apache-2.0
//
// What the scheduler puts into a step: decodes first, then chunks of running prompts, then
// admissions.
#include <algorithm>

#include "llava/engine/scheduler.h"

namespace llava::engine {
namespace {

// Pending positions, all with wanted logits, that go before prompts: a decoded token and its
// drafts.
constexpr int32_t kMaxDecodeTokens = 32;

}  // namespace

StepPlan Scheduler::plan(int64_t now_ms) {
  StepPlan plan;
  encode_budget_ = config_.encoder_tokens_per_step;
  int32_t token_budget = config_.max_batched_tokens;
  int32_t chunk_budget = config_.chunked_prefill_size;
  plan_decodes(plan, token_budget);
  plan_chunks(plan, token_budget, chunk_budget);
  plan_admissions(plan, token_budget, chunk_budget, now_ms);
  if (plan.items.empty()) make_progress(plan, now_ms);
  return plan;
}

void Scheduler::emit(Sequence& sequence, int32_t num_new, StepPlan& plan) {
  const int32_t begin = sequence.num_computed;
  extend_pages(sequence, begin + num_new, plan);
  StepItem item;
  item.sequence = sequence.id;
  item.num_past = begin;
  item.symbols.assign(sequence.symbols.begin() + begin, sequence.symbols.begin() + begin + num_new);
  item.pages = sequence.pages;
  item.first_logits = std::clamp(sequence.num_delivered - begin, 0, num_new);
  plan.items.push_back(std::move(item));
}

void Scheduler::plan_decodes(StepPlan& plan, int32_t& token_budget) {
  const auto is_due = [](const Sequence& s) {
    return s.is_decoding() && s.num_pending() <= kMaxDecodeTokens;
  };
  for (;;) {
    int32_t missing = 0;
    for (const SequenceId id : running_) {
      const Sequence& sequence = get(id);
      if (is_due(sequence)) missing += missing_pages(sequence, sequence.num_tokens());
    }
    if (missing <= num_obtainable()) break;
    Sequence* victim = running_.size() > 1 ? choose_victim(nullptr) : nullptr;
    if (victim == nullptr) {
      exhausted_ = running_;
      return;
    }
    preempt(*victim);
  }
  for (const SequenceId id : running_) {
    Sequence& sequence = get(id);
    if (!is_due(sequence)) continue;
    const int32_t num_new = std::min(sequence.num_pending(), token_budget);
    if (num_new == 0) break;
    token_budget -= num_new;
    emit(sequence, num_new, plan);
  }
}

void Scheduler::plan_one_chunk(Sequence& sequence, StepPlan& plan, int32_t& token_budget,
                               int32_t& chunk_budget) {
  int32_t num_new = std::min({sequence.num_pending(), token_budget, chunk_budget});
  if (num_new <= 0) return;
  num_new = encode_ahead(sequence, num_new, plan);
  const int32_t missing = missing_pages(sequence, sequence.num_computed + num_new);
  if (missing > num_obtainable()) {
    // As many positions as there are pages for.
    const int64_t reach =
        (static_cast<int64_t>(sequence.pages.size()) + num_obtainable()) * config_.page_size;
    num_new = static_cast<int32_t>(std::min<int64_t>(num_new, reach - sequence.num_computed));
  }
  if (num_new <= 0) return;
  token_budget -= num_new;
  chunk_budget -= num_new;
  emit(sequence, num_new, plan);
}

void Scheduler::plan_chunks(StepPlan& plan, int32_t& token_budget, int32_t& chunk_budget) {
  for (const SequenceId id : running_) {
    Sequence& sequence = get(id);
    if (sequence.num_pending() == 0) continue;
    if (sequence.is_decoding() && sequence.num_pending() <= kMaxDecodeTokens) continue;
    plan_one_chunk(sequence, plan, token_budget, chunk_budget);
  }
}

// Nothing could be planned although there may be work: sequences hold each other's pages. The
// oldest with work goes on at the others' expense; if none runs, idle ones make room for the next
// in the queue.
void Scheduler::make_progress(StepPlan& plan, int64_t now_ms) {
  if (!exhausted_.empty()) return;
  for (;;) {
    Sequence* oldest = nullptr;
    for (const SequenceId id : running_) {
      Sequence& sequence = get(id);
      if (sequence.num_pending() > 0) {
        oldest = &sequence;
        break;
      }
    }
    Sequence* victim = nullptr;
    if (oldest != nullptr || !waiting_.is_empty()) victim = choose_victim(oldest);
    if (victim == nullptr) {
      if (oldest != nullptr) exhausted_ = {oldest->id};
      return;
    }
    preempt(*victim);
    int32_t token_budget = config_.max_batched_tokens;
    int32_t chunk_budget = config_.chunked_prefill_size;
    if (oldest != nullptr) {
      plan_one_chunk(*oldest, plan, token_budget, chunk_budget);
    } else {
      plan_admissions(plan, token_budget, chunk_budget, now_ms);
    }
    if (!plan.items.empty()) return;
  }
}

void Scheduler::complete(const StepPlan& plan) {
  ++stats_.num_steps;
  answer_length_.note_step();
  for (const uint64_t image : plan.images_to_encode) {
    encoder_.set_ready(image);
    ++stats_.encoded_images;
  }
  for (const StepItem& item : plan.items) {
    Sequence& sequence = get(item.sequence);
    const auto num_new = static_cast<int32_t>(item.symbols.size());
    sequence.num_computed = item.num_past + num_new;
    stats_.computed_tokens += num_new;
    if (item.num_logits() > 0) sequence.num_delivered = sequence.num_computed;
    for (; sequence.num_charged < sequence.num_computed; ++sequence.num_charged) {
      const double service = sequence.num_charged < sequence.prompt_tokens ? 1 : 2;
      waiting_.charge(sequence.client, service);
      sequence.service += service;
    }
    release_images(sequence, sequence.num_computed);
    if (sequence.num_computed <= sequence.prompt_tokens) insert_into_tree(sequence);
  }
}

}  // namespace llava::engine
