// SPDX-License-Identifier: Apache-2.0
//
// A step of the engine.
#include "llava/engine/engine_loop.h"

#include <algorithm>
#include <span>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/request_check.h"

namespace llava::engine {
namespace {

/// Prompts that may wait, in sizes of the KV cache.
constexpr int64_t kQueuedTokensPerCapacity = 8;

}  // namespace

EngineLoop::EngineLoop(const EngineConfig& config, const EngineMemory& memory,
                       EngineReplica replica, const text::Tokenizer& tokenizer, int32_t num_vocab)
    : config_(config),
      memory_(memory),
      runner_(std::move(replica.runner)),
      draft_model_(std::move(replica.draft_model)),
      tokenizer_(tokenizer),
      num_vocab_(num_vocab),
      cache_(std::move(replica.cache)),
      inbox_(config.max_queued_requests,
             config.max_queued_tokens > 0 ? config.max_queued_tokens
                                          : kQueuedTokensPerCapacity * int64_t{capacity_tokens()}) {
  open_scheduler();
  thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
}

void EngineLoop::check(GenerationRequest& request) const {
  check_request(request, {.capacity_tokens = capacity_tokens(),
                          .num_vocab = num_vocab_,
                          .num_layers = runner_->num_layers()});
  const bool can_pin = config_.scheduler.prefix_cache == "on" && tokens_to_pin(request) > 0;
  if (request.pin_is_optional && !can_pin) request.pin.clear();
  if (!request.pin.empty()) check_pin(request);
}

std::shared_ptr<AnswerStream> EngineLoop::enqueue(GenerationRequest request) {
  auto stream = std::make_shared<AnswerStream>();
  count(&EngineStats::received);
  try {
    inbox_.push({.request = std::move(request),
                 .stream = stream,
                 .time = Clock::now(),
                 .is_open = is_open_});
  } catch (const Error&) {
    count(&EngineStats::rejected);
    throw;
  }
  return stream;
}

ReplicaLoad EngineLoop::load(std::size_t num_tokens) const {
  return {.num_open = static_cast<int32_t>(is_open_.use_count() - 1),
          .has_room = inbox_.has_room(num_tokens)};
}

EngineStats EngineLoop::stats() const {
  EngineStats stats = stats_.with([](const EngineStats& current) { return current; });
  stats.queued_tokens = inbox_.num_queued_tokens();
  return stats;
}

double EngineLoop::silent_seconds() const {
  const auto busy_since = inbox_.busy_since();
  if (!busy_since) return 0;
  const Clock::time_point last_turn{Clock::duration(last_turn_.load())};
  return std::chrono::duration<double>(Clock::now() - std::max(*busy_since, last_turn)).count();
}

void EngineLoop::open_scheduler() {
  scheduler_.emplace(config_.scheduler, memory_.num_pages, memory_.encoder_cache_bytes,
                     memory_.encoder_bytes_per_token);
}

void EngineLoop::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (active_.empty()) inbox_.wait_for_work(stop);
    last_turn_ = Clock::now().time_since_epoch().count();
    try {
      while (const auto command = inbox_.next_command()) (*command)();
      take_arrivals();
      end_unwanted();
      if (!active_.empty()) step();
      publish_stats();
    } catch (...) {
      // Whatever the bookkeeping was doing, it may be half done.
      reset(std::current_exception());
    }
  }
  fail_all(std::make_exception_ptr(
      Error(ErrorCode::kUnavailable, "the engine was stopped before the answer was complete")));
  inbox_.fail_all(std::make_exception_ptr(
      Error(ErrorCode::kUnavailable, "the engine was stopped before the answer began")));
}

void EngineLoop::step() {
  const auto start = Clock::now();
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(start.time_since_epoch());
  StepPlan plan = scheduler_->plan(now.count());
  for (const SequenceId sequence : scheduler_->take_exhausted()) exhaust(sequence);
  note_started(plan);
  note_looks(plan);
  for (const uint64_t image : plan.images_to_drop) runner_->drop(image);
  encode(plan);
  StepRecord record{.num_sequences = static_cast<int32_t>(plan.items.size())};
  for (const StepItem& item : plan.items) {
    record.num_tokens += static_cast<int32_t>(item.symbols.size());
  }
  const int64_t generated_before = generated_tokens_;
  run_items(plan);
  draft();
  record.num_new_tokens = generated_tokens_ - generated_before;
  record.seconds = ms_between(start, Clock::now()) / 1000;
  if (record.num_tokens == 0) return;
  watcher_.with([&](const auto& watcher) {
    if (watcher) watcher(record);
  });
}

void EngineLoop::draft() {
  if (draft_model_ == nullptr) return;
  draft_model_->propose();
  for (const auto& [number, active] : active_) active->task->take_guesses();
}

void EngineLoop::note_started(const StepPlan& plan) {
  const auto now = Clock::now();
  for (const StepItem& item : plan.items) {
    Active* const active = owner_of(item.sequence);
    LLAVA_CHECK(active != nullptr, "nobody asked for sequence {}", item.sequence);
    if (active->started) continue;
    active->started = now;
    active->usage.cached_tokens = scheduler_->num_cached_tokens(active->root);
    active->usage.queue_ms = ms_between(active->submitted, now);
    inbox_.leave_queue(active->request.prompt.ids.size());
    active->stream->note_started();
  }
}

void EngineLoop::note_looks(StepPlan& plan) {
  for (StepItem& item : plan.items) {
    const GenerationRequest& request = owner_of(item.sequence)->request;
    if (!request.look) continue;
    item.look.emplace().layer = request.look->layer;
    for (const text::ImageSpan& span : request.prompt.images) {
      item.look->ranges.push_back({.begin = span.offset, .end = span.offset + span.num_tokens});
    }
  }
}

void EngineLoop::encode(StepPlan& plan) {
  for (std::size_t i = 0; i < plan.images_to_encode.size();) {
    const uint64_t image = plan.images_to_encode[i];
    const auto start = Clock::now();
    std::exception_ptr error;
    try {
      Active* const active = find_image(image);
      LLAVA_CHECK(active != nullptr, "nobody shows picture {}", image);
      const auto place = std::ranges::find(active->image_numbers, image);
      const auto index = static_cast<std::size_t>(place - active->image_numbers.begin());
      const PreparedImage& picture = active->request.images[index];
      if (!restore_features(image, picture)) {
        encode_or_make_room(image, picture);
        ++active->usage.encoded_images;
        store_features(image, picture, !active->request.pin.empty());
      }
      active->usage.encode_ms += ms_between(start, Clock::now());
      ++i;
      continue;
    } catch (...) {
      error = std::current_exception();
    }
    plan.images_to_encode.erase(plan.images_to_encode.begin() + static_cast<std::ptrdiff_t>(i));
    drop_shown(image, plan, error);
  }
}

void EngineLoop::run_items(StepPlan& plan) {
  if (plan.items.empty()) {
    scheduler_->complete(plan);
    return;
  }
  const std::exception_ptr error = try_run(plan);
  if (!error) {
    deliver(plan);
    return;
  }
  log_warning("step_failed", {{"items", plan.items.size()}, {"reason", reason_of(error)}});
  run_one_by_one(plan);
}

std::exception_ptr EngineLoop::try_run(const StepPlan& plan) {
  try {
    runner_->run(plan, logits_);
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

void EngineLoop::deliver(const StepPlan& plan) {
  scheduler_->complete(plan);
  std::vector<PinToStore> pins;
  std::vector<std::shared_ptr<AnswerStream>> changed;
  std::span<float> logits(logits_.values);
  std::span<float> maps(logits_.maps);
  for (const StepItem& item : plan.items) {
    const int32_t num_rows = item.num_logits();
    if (num_rows == 0) continue;
    Active* const active = owner_of(item.sequence);
    const int32_t width = item.look ? static_cast<int32_t>(model::num_positions(item.look->ranges))
                                    : logits_.vocab_size;
    std::span<float>& values = item.look ? maps : logits;
    const auto count = static_cast<std::size_t>(num_rows) * static_cast<std::size_t>(width);
    const LogitRows rows{.sequence = item.sequence,
                         .first_position = item.num_past + item.first_logits,
                         .width = width,
                         .values = values.first(count)};
    values = values.subspan(count);
    if (active == nullptr) continue;
    if (!active->request.pin.empty() && !active->is_pinned) {
      if (auto pinned = pin(*active)) pins.push_back(std::move(*pinned));
    }
    changed.push_back(active->stream);
    advance(*active, rows);
  }
  // All together: waking those who carry answers away takes a while, and once is enough.
  for (const auto& stream : changed) stream->announce();
  // Behind the tokens, which are waited for.
  for (PinToStore& pinned : pins) store(std::move(pinned));
}

void EngineLoop::count(int64_t EngineStats::*counter) {
  stats_.with([&](EngineStats& stats) { ++(stats.*counter); });
}

void EngineLoop::publish_stats() {
  stats_.with([&](EngineStats& stats) {
    stats.generated_tokens = generated_tokens_;
    stats.draft_tokens = draft_tokens_;
    stats.accepted_tokens = accepted_tokens_;
    stats.features_from_disk = features_from_disk_;
    stats.prefixes_from_disk = prefixes_from_disk_;
    if (!scheduler_) return;
    stats.scheduler = scheduler_->stats();
    stats.num_running = scheduler_->num_running();
    stats.num_waiting = scheduler_->num_waiting();
    stats.pages_total = scheduler_->blocks().num_pages();
    stats.page_size = scheduler_->blocks().page_size();
    stats.pages_cached = scheduler_->tree().num_evictable();
    stats.pages_pinned = scheduler_->tree().num_pages_if_pinned("", "", {});
    stats.pages_used = scheduler_->blocks().num_used() - stats.pages_cached;
  });
}

}  // namespace llava::engine
