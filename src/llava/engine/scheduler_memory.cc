// SPDX-License-Identifier: Apache-2.0
//
// The scheduler's pages of keys and values, and its pictures.
#include <algorithm>
#include <tuple>

#include "llava/engine/scheduler.h"

namespace llava::engine {

int32_t Scheduler::pages_for(int64_t num_tokens) const {
  return static_cast<int32_t>((num_tokens + config_.page_size - 1) / config_.page_size);
}

int32_t Scheduler::num_obtainable() const { return blocks_.num_free() + tree_.num_evictable(); }

int32_t Scheduler::missing_pages(const Sequence& sequence, int32_t num_tokens) const {
  return std::max(0, pages_for(num_tokens) - static_cast<int32_t>(sequence.pages.size()));
}

int32_t Scheduler::obtain_page() {
  if (blocks_.num_free() == 0) tree_.evict(1);
  return blocks_.allocate();
}

void Scheduler::extend_pages(Sequence& sequence, int32_t num_tokens, StepPlan& plan) {
  while (static_cast<int32_t>(sequence.pages.size()) < pages_for(num_tokens)) {
    const int32_t page = obtain_page();
    sequence.pages.push_back(page);
    if (!sequence.borrowed_page) continue;
    plan.copies.push_back({.from = *sequence.borrowed_page,
                           .to = page,
                           .num_tokens = sequence.num_computed % config_.page_size});
    blocks_.release(*sequence.borrowed_page);
    sequence.borrowed_page.reset();
  }
}

// Shares the computed full pages of a sequence with those that follow.
void Scheduler::insert_into_tree(Sequence& sequence) {
  if (!sequence.lock.is_held()) return;
  const auto num_full = static_cast<std::size_t>(sequence.num_computed / config_.page_size);
  if (num_full <= static_cast<std::size_t>(sequence.lock.num_pages)) return;
  tree_.insert(sequence.lock,
               std::span<const Symbol>(sequence.symbols)
                   .first(num_full * static_cast<std::size_t>(config_.page_size)),
               std::span(sequence.pages).first(num_full));
}

void Scheduler::release_pages(Sequence& sequence) {
  release_images(sequence, sequence.num_tokens());
  for (auto i = static_cast<std::size_t>(sequence.lock.num_pages); i < sequence.pages.size(); ++i) {
    blocks_.release(sequence.pages[i]);
  }
  sequence.pages.clear();
  if (sequence.lock.is_held()) tree_.unlock(sequence.lock);
  sequence.lock = {};
  if (sequence.borrowed_page) blocks_.release(*sequence.borrowed_page);
  sequence.borrowed_page.reset();
}

// The running sequence that is pushed back first: lowest priority, then least service received,
// then the youngest.
Scheduler::Sequence* Scheduler::choose_victim(const Sequence* keep) {
  Sequence* victim = nullptr;
  for (const SequenceId id : running_) {
    Sequence& candidate = get(id);
    if (&candidate == keep) continue;
    const auto rank = [](const Sequence& s) {
      return std::make_tuple(s.priority, s.service, -s.id);
    };
    if (victim == nullptr || rank(candidate) < rank(*victim)) victim = &candidate;
  }
  return victim;
}

void Scheduler::release_images(Sequence& sequence, int32_t below) {
  for (ImageUse& use : sequence.images) {
    if (!use.is_held || use.offset + use.num_tokens > below) continue;
    encoder_.release(use.image);
    use.is_held = false;
  }
}

bool Scheduler::acquire_image(Sequence& sequence, ImageUse& use, StepPlan& plan) {
  if (!use.is_held) {
    const EncoderRoom room =
        encoder_.acquire(use.image, use.num_tokens * encoder_bytes_per_token_, plan.images_to_drop);
    if (room == EncoderRoom::kFull) return false;
    use.is_held = true;
  }
  if (encoder_.is_ready(use.image)) return true;
  if (std::ranges::find(plan.images_to_encode, use.image) != plan.images_to_encode.end()) {
    return true;
  }
  // One picture is always allowed, so that none is too large for the budget.
  if (!plan.images_to_encode.empty() && use.num_tokens > encode_budget_) return false;
  plan.images_to_encode.push_back(use.image);
  encode_budget_ -= use.num_tokens;
  waiting_.charge(sequence.client, 0.5 * use.num_tokens);
  sequence.service += 0.5 * use.num_tokens;
  return true;
}

int32_t Scheduler::encode_ahead(Sequence& sequence, int32_t wanted, StepPlan& plan) {
  const int32_t end = sequence.num_computed + wanted;
  for (ImageUse& use : sequence.images) {
    if (use.offset >= end) break;
    if (use.offset + use.num_tokens <= sequence.num_computed) continue;
    if (!acquire_image(sequence, use, plan)) {
      return std::max(0, use.offset - sequence.num_computed);
    }
  }
  return wanted;
}

std::vector<uint64_t> Scheduler::free_caches() {
  std::vector<uint64_t> dropped;
  tree_.evict(tree_.num_evictable());
  encoder_.clear(dropped);
  return dropped;
}

}  // namespace llava::engine
