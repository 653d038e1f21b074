// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/scheduler.h"

#include <algorithm>
#include <cmath>

#include "llava/core/check.h"

namespace llava::engine {
namespace {

// Pending positions, all with wanted logits, that go before prompts: a decoded token and its
// drafts.
constexpr int32_t kMaxDecodeTokens = 32;
// Tokens that a short history of answers is assumed to have.
constexpr double kFirstOutputMean = 128;
constexpr double kMinConservativeness = 0.3;
constexpr double kMaxConservativeness = 1.5;
constexpr int32_t kCleanSteps = 100;

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

int32_t Scheduler::pages_for(int64_t num_tokens) const {
  return static_cast<int32_t>((num_tokens + config_.page_size - 1) / config_.page_size);
}

// --- Life of a sequence ---------------------------------------------------------------------

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
  LLAVA_CHECK(length >= sequence.lock.num_pages * config_.page_size);
  LLAVA_CHECK(length >= sequence.prompt_tokens);
  LLAVA_CHECK(length <= sequence.num_tokens());
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
    note_output_length(sequence.num_tokens() - sequence.prompt_tokens);
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

void Scheduler::preempt(Sequence& sequence) {
  insert_into_tree(sequence);
  release_pages(sequence);
  sequence.num_computed = 0;
  sequence.is_running = false;
  std::erase(running_, sequence.id);
  ++sequence.num_preemptions;
  ++stats_.preemptions;
  conservativeness_ = std::min(kMaxConservativeness, conservativeness_ + 0.1);
  clean_steps_ = 0;
  enqueue(sequence, /*is_returning=*/true);
}

// --- Pages ----------------------------------------------------------------------------------

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

// --- Pictures -------------------------------------------------------------------------------

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

// --- A step ---------------------------------------------------------------------------------

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

double Scheduler::expected_output(const Sequence& sequence) const {
  double expected = kFirstOutputMean;
  if (num_outputs_ > 0) {
    const double variance = std::max(
        0.0, output_square_ / static_cast<double>(num_outputs_) - output_mean_ * output_mean_);
    expected = output_mean_ + std::sqrt(variance);
  }
  const int32_t so_far = sequence.num_tokens() - sequence.prompt_tokens;
  const double left = std::max(0, sequence.max_new_tokens - so_far);
  return std::min(left, std::max(0.0, expected - so_far)) * conservativeness_;
}

void Scheduler::note_output_length(int32_t num_tokens) {
  ++num_outputs_;
  const double length = num_tokens;
  const auto count = static_cast<double>(num_outputs_);
  output_mean_ += (length - output_mean_) / count;
  output_square_ += length * length;
}

// Whether there are pages for the whole sequence and its expected output, beside what the running
// ones are expected to take.
bool Scheduler::can_admit(const Sequence& sequence, int32_t num_cached) const {
  if (running_.empty()) return true;
  if (static_cast<int32_t>(running_.size()) >= config_.max_running_requests) return false;
  const auto pages_wanted = [&](const Sequence& s) {
    return pages_for(s.num_tokens() + static_cast<int64_t>(expected_output(s)));
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

void Scheduler::admit(Sequence& sequence) {
  waiting_.remove(sequence.id);
  sequence.is_running = true;
  if (has_prefix_cache()) {
    sequence.lock = tree_.match(sequence.cache_scope, sequence.symbols, sequence.pages);
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
    return has_prefix_cache() ? tree_.peek(sequence.cache_scope, sequence.symbols) : 0;
  };
  while (token_budget > 0 && chunk_budget > 0) {
    const auto next = waiting_.next(now_ms, cached_tokens);
    if (!next) return;
    Sequence& sequence = get(*next);
    if (!can_admit(sequence, cached_tokens(*next))) return;
    admit(sequence);
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
  if (++clean_steps_ >= kCleanSteps) {
    clean_steps_ = 0;
    conservativeness_ = std::max(kMinConservativeness, conservativeness_ - 0.01);
  }
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
    if (sequence.num_computed == sequence.prompt_tokens) insert_into_tree(sequence);
  }
}

std::vector<SequenceId> Scheduler::take_exhausted() { return std::exchange(exhausted_, {}); }

std::vector<uint64_t> Scheduler::free_caches() {
  std::vector<uint64_t> dropped;
  tree_.evict(tree_.num_evictable());
  encoder_.clear(dropped);
  return dropped;
}

// --- Questions ------------------------------------------------------------------------------

int32_t Scheduler::num_tokens(SequenceId id) const { return get(id).num_tokens(); }
int32_t Scheduler::num_cached_tokens(SequenceId id) const { return get(id).num_cached_tokens; }
int32_t Scheduler::num_preemptions(SequenceId id) const { return get(id).num_preemptions; }
bool Scheduler::has_started(SequenceId id) const { return get(id).has_started; }

}  // namespace llava::engine
