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

EngineLoop::EngineLoop(const EngineConfig& config, const EngineMemory& memory,
                       std::unique_ptr<Runner> runner, const text::Tokenizer& tokenizer,
                       int32_t num_vocab, std::unique_ptr<DraftModel> draft_model,
                       std::unique_ptr<PersistentCache> cache)
    : config_(config),
      memory_(memory),
      runner_(std::move(runner)),
      draft_model_(std::move(draft_model)),
      tokenizer_(tokenizer),
      num_vocab_(num_vocab),
      cache_(std::move(cache)),
      inbox_(config.max_queued_requests) {
  open_scheduler();
  thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
}

std::shared_ptr<AnswerStream> EngineLoop::submit(GenerationRequest request) {
  check_request(request, capacity_tokens(), num_vocab_);
  if (!request.pin.empty()) check_pin(request);
  auto stream = std::make_shared<AnswerStream>();
  count(&EngineStats::received);
  try {
    inbox_.push({.request = std::move(request), .stream = stream, .time = Clock::now()});
  } catch (const Error&) {
    count(&EngineStats::rejected);
    throw;
  }
  return stream;
}

EngineStats EngineLoop::stats() const {
  return stats_.with([](const EngineStats& stats) { return stats; });
}

void EngineLoop::open_scheduler() {
  scheduler_.emplace(config_.scheduler, memory_.num_pages, memory_.encoder_cache_bytes,
                     memory_.encoder_bytes_per_token);
}

void EngineLoop::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (active_.empty()) inbox_.wait_for_work(stop);
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
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch());
  StepPlan plan = scheduler_->plan(now.count());
  for (const SequenceId sequence : scheduler_->take_exhausted()) exhaust(sequence);
  note_started(plan);
  for (const uint64_t image : plan.images_to_drop) runner_->drop(image);
  encode(plan);
  run_items(plan);
  draft();
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
    inbox_.leave_queue();
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
  int64_t row = 0;
  const auto width = static_cast<std::size_t>(logits_.vocab_size);
  for (const StepItem& item : plan.items) {
    const int32_t num_rows = item.num_logits();
    if (num_rows == 0) continue;
    const LogitRows rows{.sequence = item.sequence,
                         .first_position = item.num_past + item.first_logits,
                         .vocab_size = logits_.vocab_size,
                         .values = std::span(logits_.values)
                                       .subspan(static_cast<std::size_t>(row) * width,
                                                static_cast<std::size_t>(num_rows) * width)};
    row += num_rows;
    Active* const active = owner_of(item.sequence);
    if (active == nullptr) continue;
    if (!active->request.pin.empty() && !active->is_pinned) {
      if (auto pinned = pin(*active)) pins.push_back(std::move(*pinned));
    }
    advance(*active, rows);
  }
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
