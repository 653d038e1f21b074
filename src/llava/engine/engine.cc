// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/engine.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/core/log.h"
#include "llava/engine/generation_task.h"

namespace llava::engine {
namespace {

using Clock = std::chrono::steady_clock;

double ms_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double, std::milli>(end - begin).count();
}

std::string reason_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "unknown";
  }
}

// What callers see of an exception: memory that ran out is an Error like all others.
std::exception_ptr as_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return std::make_exception_ptr(
        Error(ErrorCode::kResourceExhausted,
              "out of memory while answering: show fewer or smaller pictures, or give the caches "
              "less memory"));
  } catch (...) {
    return error;
  }
}

}  // namespace

class Engine::Loop {
 public:
  Loop(const EngineConfig& config, const EngineMemory& memory, std::unique_ptr<Runner> runner,
       const text::Tokenizer& tokenizer, int32_t num_vocab)
      : config_(config),
        memory_(memory),
        runner_(std::move(runner)),
        tokenizer_(tokenizer),
        num_vocab_(num_vocab) {
    open_scheduler();
    thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  }

  std::shared_ptr<AnswerStream> submit(GenerationRequest request) {
    check(request);
    auto stream = std::make_shared<AnswerStream>();
    Arrival arrival{.request = std::move(request), .stream = stream, .time = Clock::now()};
    {
      const std::lock_guard lock(mutex_);
      stats_.with([](EngineStats& stats) { ++stats.received; });
      if (num_queued_ >= config_.max_queued_requests) {
        stats_.with([](EngineStats& stats) { ++stats.rejected; });
        fail(ErrorCode::kUnavailable,
             "{} requests are waiting, the most that are allowed: try "
             "again later",
             num_queued_);
      }
      inbox_.push_back(std::move(arrival));
      ++num_queued_;
      is_idle_ = false;
    }
    changed_.notify_all();
    return stream;
  }

  EngineStats stats() const {
    return stats_.with([](const EngineStats& stats) { return stats; });
  }

  void wait_until_idle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_idle_; });
  }

  int32_t capacity_tokens() const { return memory_.num_pages * config_.scheduler.page_size; }

 private:
  struct Arrival {
    GenerationRequest request;
    std::shared_ptr<AnswerStream> stream;
    Clock::time_point time;
  };

  struct Active {
    uint64_t number = 0;
    GenerationRequest request;
    std::shared_ptr<AnswerStream> stream;
    std::vector<uint64_t> image_numbers;
    SequenceId root = 0;
    std::unique_ptr<GenerationTask> task;
    Clock::time_point submitted;
    std::optional<Clock::time_point> started;
    std::optional<Clock::time_point> first_token;
    AnswerUsage usage;
  };

  void open_scheduler() {
    scheduler_.emplace(config_.scheduler, memory_.num_pages, memory_.encoder_cache_bytes,
                       memory_.encoder_bytes_per_token);
  }

  void check(const GenerationRequest& request) const {
    const auto refuse_id = [&](int32_t id) {
      fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", id,
           num_vocab_);
    };
    validate(request.params);
    const auto& ids = request.prompt.ids;
    if (ids.empty()) fail(ErrorCode::kInvalidArgument, "the prompt is empty");
    if (static_cast<int64_t>(ids.size()) > capacity_tokens()) {
      fail(ErrorCode::kInvalidArgument,
           "the prompt has {} tokens, but the KV cache holds {}: shorten it or give the cache more "
           "memory",
           ids.size(), capacity_tokens());
    }
    for (const int32_t id : ids) {
      if (id < 0 || id >= num_vocab_) refuse_id(id);
    }
    for (const text::ImageSpan& span : request.prompt.images) {
      LLAVA_CHECK(span.image >= 0 && static_cast<std::size_t>(span.image) < request.images.size());
    }
    if (request.num_choices < 1 || request.num_choices > 256) {
      fail(ErrorCode::kInvalidArgument, "n is {}, expected 1 to 256", request.num_choices);
    }
    if (request.params.num_beams > 1 && (request.grammar != nullptr || request.num_choices > 1)) {
      fail(ErrorCode::kInvalidArgument,
           "beam search gives one answer of any form: leave out the grammar and n, or num-beams");
    }
    for (const auto& answer : request.scored_answers) {
      if (answer.empty()) fail(ErrorCode::kInvalidArgument, "an answer to score is empty");
      for (const int32_t id : answer) {
        if (id < 0 || id >= num_vocab_) refuse_id(id);
      }
    }
  }

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      wait_for_work(stop);
      try {
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
    const std::lock_guard lock(mutex_);
    for (Arrival& arrival : inbox_) {
      arrival.stream->fail(std::make_exception_ptr(
          Error(ErrorCode::kUnavailable, "the engine was stopped before the answer began")));
    }
    inbox_.clear();
  }

  void wait_for_work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (!active_.empty() || !inbox_.empty()) return;
    is_idle_ = true;
    changed_.notify_all();
    changed_.wait(lock, stop, [&] { return !inbox_.empty(); });
  }

  void take_arrivals() {
    while (std::optional<Arrival> arrival = next_arrival()) {
      const std::shared_ptr<AnswerStream> stream = arrival->stream;
      try {
        if (!scheduler_) open_scheduler();
        begin(std::move(*arrival));
      } catch (...) {
        // It may have come any way.
        std::erase_if(active_, [&](const auto& entry) { return entry.second->stream == stream; });
        forget_queued();
        stream->fail(as_error(std::current_exception()));
        count(&EngineStats::failed);
        throw;
      }
    }
  }

  std::optional<Arrival> next_arrival() {
    const std::lock_guard lock(mutex_);
    if (inbox_.empty()) return std::nullopt;
    std::optional<Arrival> arrival(std::move(inbox_.front()));
    inbox_.pop_front();
    return arrival;
  }

  void begin(Arrival arrival) {
    auto active = std::make_unique<Active>();
    active->number = ++last_number_;
    active->request = std::move(arrival.request);
    active->stream = std::move(arrival.stream);
    active->submitted = arrival.time;
    for (const PreparedImage& image : active->request.images) {
      active->image_numbers.push_back(registry_.intern(image.key));
    }
    active->usage.prompt_tokens = static_cast<int32_t>(active->request.prompt.ids.size());
    active->root =
        scheduler_->add({.owner = active->number,
                         .client = active->request.client,
                         .priority = active->request.priority,
                         .cache_scope = active->request.cache_salt,
                         .prompt = symbols_of(*active),
                         .max_new_tokens = active->request.params.max_new_tokens,
                         .arrival_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                                           arrival.time.time_since_epoch())
                                           .count()});
    active->task = make_task({.scheduler = *scheduler_,
                              .tokenizer = tokenizer_,
                              .request = active->request,
                              .stream = *active->stream,
                              .scratch = scratch_,
                              .max_draft_tokens = config_.max_draft_tokens},
                             active->root);
    const uint64_t number = active->number;
    active_.emplace(number, std::move(active));
    note_owners(*active_.at(number));
  }

  static std::vector<Symbol> symbols_of(const Active& active) {
    std::vector<Symbol> symbols;
    symbols.reserve(active.request.prompt.ids.size());
    for (const int32_t id : active.request.prompt.ids) symbols.push_back({.image = 0, .value = id});
    for (const text::ImageSpan& span : active.request.prompt.images) {
      for (int32_t i = 0; i < span.num_tokens; ++i) {
        symbols[static_cast<std::size_t>(span.offset + i)] = {
            .image = active.image_numbers[static_cast<std::size_t>(span.image)], .value = i};
      }
    }
    return symbols;
  }

  // Whose sequences these are, for finding the task of an item.
  void note_owners(const Active& active) {
    for (const SequenceId sequence : active.task->sequences()) {
      owners_[sequence] = active.number;
    }
  }

  void end_unwanted() {
    std::vector<uint64_t> cancelled, slow;
    for (const auto& [number, active] : active_) {
      if (active->stream->is_cancelled()) {
        cancelled.push_back(number);
        continue;
      }
      const auto [num_bytes, age] = active->stream->unread();
      if (num_bytes > static_cast<std::size_t>(config_.max_unread_kb) * 1024 ||
          age.count() > config_.max_unread_ms) {
        slow.push_back(number);
      }
    }
    for (const uint64_t number : cancelled) {
      Active& active = *active_.at(number);
      active.task->stop(FinishReason::kCancelled);
      count(&EngineStats::aborted);
      retire(active);
    }
    for (const uint64_t number : slow) {
      count(&EngineStats::aborted);
      drop(*active_.at(number),
           std::make_exception_ptr(Error(ErrorCode::kCancelled,
                                         "the answer was not fetched fast enough and was ended")));
    }
  }

  void step() {
    const auto now =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch());
    StepPlan plan = scheduler_->plan(now.count());
    for (const SequenceId sequence : scheduler_->take_exhausted()) exhaust(sequence);
    note_started(plan);
    for (const uint64_t image : plan.images_to_drop) runner_->drop(image);
    encode(plan);
    run_items(plan);
  }

  void exhaust(SequenceId sequence) {
    const auto owner = owners_.find(sequence);
    if (owner == owners_.end()) return;
    Active& active = *active_.at(owner->second);
    active.task->exhaust(sequence);
    if (active.task->sequences().empty()) retire(active);
  }

  void note_started(const StepPlan& plan) {
    const auto now = Clock::now();
    for (const StepItem& item : plan.items) {
      Active& active = owner_of(item);
      if (active.started) continue;
      active.started = now;
      active.usage.cached_tokens = scheduler_->num_cached_tokens(active.root);
      active.usage.queue_ms = ms_between(active.submitted, now);
      forget_queued();
    }
  }

  Active& owner_of(const StepItem& item) { return *active_.at(owners_.at(item.sequence)); }

  // Encodes the plan's pictures; requests whose picture cannot be encoded fail and leave the plan.
  void encode(StepPlan& plan) {
    for (std::size_t i = 0; i < plan.images_to_encode.size();) {
      const uint64_t image = plan.images_to_encode[i];
      const auto start = Clock::now();
      std::exception_ptr error;
      Active* const active = find_image(image);
      try {
        LLAVA_CHECK(active != nullptr, "nobody shows picture {}", image);
        encode_one(image, *active);
        active->usage.encode_ms += ms_between(start, Clock::now());
        ++i;
        continue;
      } catch (...) {
        error = std::current_exception();
      }
      plan.images_to_encode.erase(plan.images_to_encode.begin() + static_cast<std::ptrdiff_t>(i));
      std::vector<uint64_t> failed;
      for (const auto& [number, other] : active_) {
        if (std::ranges::find(other->image_numbers, image) != other->image_numbers.end()) {
          failed.push_back(number);
        }
      }
      for (const uint64_t number : failed) {
        std::erase_if(plan.items,
                      [&](const StepItem& item) { return owners_.at(item.sequence) == number; });
        drop(*active_.at(number), error);
        count(&EngineStats::failed);
      }
    }
  }

  Active* find_image(uint64_t image) {
    for (const auto& [number, active] : active_) {
      if (std::ranges::find(active->image_numbers, image) != active->image_numbers.end()) {
        return active.get();
      }
    }
    return nullptr;
  }

  void encode_one(uint64_t image, const Active& active) {
    const auto place = std::ranges::find(active.image_numbers, image);
    const auto index = static_cast<std::size_t>(place - active.image_numbers.begin());
    try {
      runner_->encode(image, active.request.images[index]);
    } catch (const std::bad_alloc&) {
      make_room();
      runner_->encode(image, active.request.images[index]);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kResourceExhausted) throw;
      make_room();
      runner_->encode(image, active.request.images[index]);
    }
  }

  void make_room() {
    log_warning("engine_out_of_memory", {{"action", "dropping what the caches hold unused"}});
    for (const uint64_t image : scheduler_->free_caches()) runner_->drop(image);
  }

  void run_items(StepPlan& plan) {
    if (plan.items.empty()) {
      scheduler_->complete(plan);
      return;
    }
    std::exception_ptr error = try_run(plan);
    if (!error) {
      deliver(plan);
      return;
    }
    log_warning("step_failed", {{"items", plan.items.size()}, {"reason", reason_of(error)}});
    // Memory may have run out, or one sequence may be at fault: each is tried alone.
    make_room();
    std::vector<StepItem> items = std::exchange(plan.items, {});
    for (StepItem& item : items) {
      const auto owner = owners_.find(item.sequence);
      if (owner == owners_.end()) continue;
      Active& active = *active_.at(owner->second);
      StepPlan single = std::exchange(plan, {});
      single.items.push_back(std::move(item));
      error = try_run(single);
      if (!error) {
        deliver(single);
        continue;
      }
      single.items.clear();
      scheduler_->complete(single);
      drop(active, error);
      count(&EngineStats::failed);
    }
  }

  std::exception_ptr try_run(const StepPlan& plan) {
    try {
      runner_->run(plan, logits_);
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }

  // Hands the logits to the tasks.
  void deliver(const StepPlan& plan) {
    scheduler_->complete(plan);
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
      const auto owner = owners_.find(item.sequence);
      if (owner != owners_.end()) advance(*active_.at(owner->second), rows);
    }
  }

  void advance(Active& active, const LogitRows& rows) {
    const int32_t num_before = active.task->num_tokens();
    try {
      active.task->take(rows);
    } catch (const Error&) {
      drop(active, std::current_exception());
      count(&EngineStats::failed);
      return;
    }
    if (!active.first_token) active.first_token = Clock::now();
    generated_tokens_ += active.task->num_tokens() - num_before;
    if (active.task->sequences().empty()) {
      count(&EngineStats::finished);
      retire(active);
    } else {
      note_owners(active);
    }
  }

  // The answer is complete.
  void retire(Active& active) {
    const auto now = Clock::now();
    active.usage.completion_tokens = active.task->num_tokens();
    active.usage.draft_tokens = active.task->num_draft_tokens();
    active.usage.accepted_tokens = active.task->num_accepted_tokens();
    if (active.first_token) {
      active.usage.first_token_ms = ms_between(active.submitted, *active.first_token);
      active.usage.decode_ms = ms_between(*active.first_token, now);
    }
    draft_tokens_ += active.usage.draft_tokens;
    accepted_tokens_ += active.usage.accepted_tokens;
    log_debug("request", {{"id", active.request.id},
                          {"prompt_tokens", active.usage.prompt_tokens},
                          {"cached_tokens", active.usage.cached_tokens},
                          {"completion_tokens", active.usage.completion_tokens},
                          {"first_token_ms", active.usage.first_token_ms},
                          {"total_ms", ms_between(active.submitted, now)}});
    active.stream->end(active.usage);
    forget(active);
  }

  // The request has failed.
  void drop(Active& active, const std::exception_ptr& error) {
    scheduler_->finish_all(active.number);
    active.stream->fail(as_error(error));
    const std::string id = std::move(active.request.id);
    forget(active);
    log_warning("request_failed", {{"id", id}, {"reason", reason_of(as_error(error))}});
  }

  void forget(Active& active) {
    if (!active.started) forget_queued();
    std::erase_if(owners_, [&](const auto& entry) { return entry.second == active.number; });
    active_.erase(active.number);
  }

  void fail_all(const std::exception_ptr& error) {
    for (const auto& [number, active] : active_) {
      if (!active->started) forget_queued();
      active->stream->fail(as_error(error));
      count(&EngineStats::failed);
    }
    active_.clear();
    owners_.clear();
  }

  // Starts over with empty caches.
  void reset(const std::exception_ptr& error) noexcept {
    fail_all(error);
    scheduler_.reset();
    runner_->drop_all();
    try {
      log_error("engine_reset", {{"reason", reason_of(error)}});
      open_scheduler();
    } catch (...) {
      // The next request opens one.
    }
  }

  void forget_queued() {
    const std::lock_guard lock(mutex_);
    --num_queued_;
  }

  void count(int64_t EngineStats::*counter) {
    stats_.with([&](EngineStats& stats) { ++(stats.*counter); });
  }

  void publish_stats() {
    stats_.with([&](EngineStats& stats) {
      stats.generated_tokens = generated_tokens_;
      stats.draft_tokens = draft_tokens_;
      stats.accepted_tokens = accepted_tokens_;
      if (!scheduler_) return;
      stats.scheduler = scheduler_->stats();
      stats.num_running = scheduler_->num_running();
      stats.num_waiting = scheduler_->num_waiting();
      stats.pages_total = scheduler_->blocks().num_pages();
      stats.pages_cached = scheduler_->tree().num_evictable();
      stats.pages_used = scheduler_->blocks().num_used() - stats.pages_cached;
    });
  }

  const EngineConfig config_;
  const EngineMemory memory_;
  const std::unique_ptr<Runner> runner_;
  const text::Tokenizer& tokenizer_;
  const int32_t num_vocab_;
  ImageRegistry registry_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Arrival> inbox_;  // guarded by mutex_
  int32_t num_queued_ = 0;     // guarded by mutex_
  bool is_idle_ = false;       // guarded by mutex_
  Guarded<EngineStats> stats_;

  // The engine thread's own.
  std::optional<Scheduler> scheduler_;
  std::map<uint64_t, std::unique_ptr<Active>> active_;
  std::map<SequenceId, uint64_t> owners_;
  uint64_t last_number_ = 0;
  ChooserScratch scratch_;
  StepLogits logits_;
  int64_t generated_tokens_ = 0;
  int64_t draft_tokens_ = 0;
  int64_t accepted_tokens_ = 0;

  std::jthread thread_;  // last: it uses all of the above
};

Engine::Engine(const EngineConfig& config, const EngineMemory& memory,
               std::unique_ptr<Runner> runner, const text::Tokenizer& tokenizer, int32_t num_vocab)
    : loop_(std::make_unique<Loop>(config, memory, std::move(runner), tokenizer, num_vocab)) {}

Engine::~Engine() = default;

std::shared_ptr<AnswerStream> Engine::submit(GenerationRequest request) {
  return loop_->submit(std::move(request));
}

EngineStats Engine::stats() const { return loop_->stats(); }

void Engine::wait_until_idle() { loop_->wait_until_idle(); }

int32_t Engine::capacity_tokens() const { return loop_->capacity_tokens(); }

}  // namespace llava::engine
