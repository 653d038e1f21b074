// SPDX-License-Identifier: Apache-2.0
//
// The life of a sequence and the numbers about it; what a step computes is in scheduler_plan.cc,
// who is admitted in scheduler_admission.cc, pages and pictures in scheduler_memory.cc.
#include "llava/engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "llava/core/check.h"

namespace llava::engine {
namespace {

SchedulePolicy policy_from_name(const std::string& name) {
  if (name == "fcfs") return SchedulePolicy::kFirstCome;
  if (name == "lpm") return SchedulePolicy::kLongestPrefix;
  return SchedulePolicy::kFair;
}

}  // namespace

Scheduler::Scheduler(const SchedulerConfig& config, int32_t num_pages, int64_t encoder_cache_bytes,
                     int64_t encoder_bytes_per_token)
    : config_(config),
      blocks_(num_pages, config.page_size),
      tree_(blocks_),
      encoder_(encoder_cache_bytes),
      encoder_bytes_per_token_(encoder_bytes_per_token),
      waiting_(policy_from_name(config.schedule_policy), config.max_wait_boost_ms) {}

Scheduler::Sequence& Scheduler::get(SequenceId id) {
  const auto it = sequences_.find(id);
  LLAVA_CHECK(it != sequences_.end(), "sequence {}", id);
  return it->second;
}

const Scheduler::Sequence& Scheduler::get(SequenceId id) const {
  const auto it = sequences_.find(id);
  LLAVA_CHECK(it != sequences_.end(), "sequence {}", id);
  return it->second;
}

SequenceId Scheduler::add(SequenceRequest request) {
  LLAVA_CHECK(!request.prompt.empty());
  const auto num_tokens = static_cast<int32_t>(request.prompt.size());
  if (num_tokens > capacity_tokens()) {
    fail(ErrorCode::kInvalidArgument,
         "the prompt has {} tokens, but the KV cache holds {}: shorten it or give the cache more "
         "memory",
         num_tokens, capacity_tokens());
  }
  Sequence sequence;
  sequence.id = next_id_++;
  sequence.owner = request.owner;
  sequence.client = std::move(request.client);
  sequence.priority = request.priority;
  sequence.cache_scope = std::move(request.cache_scope);
  sequence.arrival_ms = request.arrival_ms;
  sequence.symbols = std::move(request.prompt);
  sequence.prompt_tokens = num_tokens;
  sequence.max_new_tokens = request.max_new_tokens;
  sequence.num_delivered = num_tokens - 1;
  for (int32_t i = 0; i < num_tokens; ++i) {
    const uint64_t image = sequence.symbols[static_cast<std::size_t>(i)].image;
    if (image == 0) continue;
    const bool goes_on = !sequence.images.empty() && sequence.images.back().image == image &&
                         sequence.symbols[static_cast<std::size_t>(i)].value > 0;
    if (!goes_on) sequence.images.push_back({.image = image, .offset = i});
    ++sequence.images.back().num_tokens;
  }
  const SequenceId id = sequence.id;
  waiting_.activate(sequence.client);
  enqueue(sequence, /*is_returning=*/false);
  sequences_.emplace(id, std::move(sequence));
  return id;
}

void Scheduler::enqueue(const Sequence& sequence, bool is_returning) {
  waiting_.push({.sequence = sequence.id,
                 .client = sequence.client,
                 .priority = sequence.priority,
                 .arrival_ms = sequence.arrival_ms,
                 .prompt_tokens = sequence.prompt_tokens,
                 .is_returning = is_returning});
}

SequenceId Scheduler::fork(SequenceId parent) {
  Sequence& original = get(parent);
  if (original.is_running) insert_into_tree(original);
  Sequence copy = original;
  copy.id = next_id_++;
  for (ImageUse& use : copy.images) use.is_held = false;
  copy.borrowed_page.reset();
  copy.num_preemptions = 0;
  waiting_.activate(copy.client);
  if (copy.is_running) {
    if (copy.lock.is_held()) copy.lock = tree_.share(original.lock);
    const auto num_full = static_cast<std::size_t>(copy.num_computed / config_.page_size);
    copy.pages.resize(std::min(copy.pages.size(), num_full));
    for (auto i = static_cast<std::size_t>(copy.lock.num_pages); i < copy.pages.size(); ++i) {
      blocks_.retain(copy.pages[i]);
    }
    if (copy.num_computed % config_.page_size > 0) {
      copy.borrowed_page =
          original.borrowed_page ? *original.borrowed_page : original.pages[num_full];
      blocks_.retain(*copy.borrowed_page);
    }
    running_.push_back(copy.id);
  } else {
    enqueue(copy, /*is_returning=*/true);
  }
  const SequenceId id = copy.id;
  sequences_.emplace(id, std::move(copy));
  return id;
}

void Scheduler::append(SequenceId id, std::span<const int32_t> tokens) {
  Sequence& sequence = get(id);
  for (const int32_t token : tokens) sequence.symbols.push_back({.image = 0, .value = token});
}

void Scheduler::truncate(SequenceId id, int32_t length) {
  Sequence& sequence = get(id);
  LLAVA_CHECK(length >= sequence.prompt_tokens);
  LLAVA_CHECK(length <= sequence.num_tokens());
  // After a preemption the cached pages may reach into drafts; they are held as a whole.
  if (length < sequence.lock.num_pages * config_.page_size) push_back(sequence);
  sequence.symbols.resize(static_cast<std::size_t>(length));
  sequence.num_computed = std::min(sequence.num_computed, length);
  sequence.num_delivered = std::min(sequence.num_delivered, length);
}

void Scheduler::finish(SequenceId id) {
  Sequence& sequence = get(id);
  if (sequence.is_running) {
    insert_into_tree(sequence);
    release_pages(sequence);
    std::erase(running_, id);
  } else {
    waiting_.remove(id);
  }
  if (sequence.num_tokens() > sequence.prompt_tokens) {
    answer_length_.note_answer(sequence.num_tokens() - sequence.prompt_tokens);
  }
  waiting_.deactivate(sequence.client);
  std::erase(exhausted_, id);
  sequences_.erase(id);
}

void Scheduler::finish_all(uint64_t owner) {
  std::vector<SequenceId> owned;
  for (const auto& [id, sequence] : sequences_) {
    if (sequence.owner == owner) owned.push_back(id);
  }
  for (const SequenceId id : owned) finish(id);
}

void Scheduler::push_back(Sequence& sequence) {
  insert_into_tree(sequence);
  release_pages(sequence);
  sequence.num_computed = 0;
  sequence.is_running = false;
  std::erase(running_, sequence.id);
  enqueue(sequence, /*is_returning=*/true);
}

void Scheduler::preempt(Sequence& sequence) {
  push_back(sequence);
  ++sequence.num_preemptions;
  ++stats_.preemptions;
  answer_length_.note_preemption();
}

std::vector<SequenceId> Scheduler::take_exhausted() { return std::exchange(exhausted_, {}); }

int32_t Scheduler::num_tokens(SequenceId id) const { return get(id).num_tokens(); }
int32_t Scheduler::num_cached_tokens(SequenceId id) const { return get(id).num_cached_tokens; }
int32_t Scheduler::num_preemptions(SequenceId id) const { return get(id).num_preemptions; }
bool Scheduler::has_started(SequenceId id) const { return get(id).has_started; }

}  // namespace llava::engine
