// SPDX-License-Identifier: Apache-2.0
//
// EngineLoop: the engine's thread with what it owns: scheduler, runner and the requests that run.
// Its functions are in four files: engine_loop.cc has the step, engine_requests.cc the life of a
// request, engine_caching.cc pins and the cache on disk, engine_recovery.cc what is done when
// something fails.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/engine/engine.h"
#include "llava/engine/generation_task.h"
#include "llava/engine/replica_chooser.h"
#include "llava/engine/request_inbox.h"

namespace llava::engine {

/// Threads: `check` to `load` are safe; all else is the loop's own thread's.
class EngineLoop {
 public:
  /// As Engine::Engine.
  EngineLoop(const EngineConfig& config, const EngineMemory& memory, EngineReplica replica,
             const text::Tokenizer& tokenizer, int32_t num_vocab);

  /// The two halves of Engine::submit: whether the request can be done at all, and queuing it. An
  /// optional pin that cannot be is taken from it.
  void check(GenerationRequest& request) const;
  std::shared_ptr<AnswerStream> enqueue(GenerationRequest request);

  /// As Engine's functions of these names.
  bool unpin(const std::string& name);
  std::vector<PinInfo> pins();
  std::vector<float> embed_picture(const PreparedImage& picture, PicturePooling pooling);
  std::vector<float> embed_text(std::span<const int32_t> ids);
  void drop_unused();
  void flush_cache();
  EngineStats stats() const;
  void watch_steps(std::function<void(const StepRecord&)> watcher) {
    watcher_.with([&](auto& kept) { kept = std::move(watcher); });
  }
  double silent_seconds() const;
  void wait_until_idle() { inbox_.wait_until_idle(); }
  int32_t capacity_tokens() const { return memory_.num_pages * config_.scheduler.page_size; }

  /// What it has to do, and whether it would queue a prompt of so many tokens.
  ReplicaLoad load(std::size_t num_tokens) const;

 private:
  using Clock = std::chrono::steady_clock;

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
    bool is_pinned = false;
    std::shared_ptr<const void> is_open;
  };

  /// A prefix that is to be stored: its pages are pinned.
  struct PinToStore {
    std::string name;
    PinRecord record;
    std::string key;
    std::vector<int32_t> pages;  ///< empty: only the record is missing
  };

  static double ms_between(Clock::time_point begin, Clock::time_point end) {
    return std::chrono::duration<double, std::milli>(end - begin).count();
  }

  // engine_loop.cc: a step.
  void open_scheduler();
  void run(const std::stop_token& stop);
  void step();
  void note_started(const StepPlan& plan);
  /// Items of requests that ask where an answer looked say so.
  void note_looks(StepPlan& plan);
  void encode(StepPlan& plan);
  void run_items(StepPlan& plan);
  /// What the runner threw, or null.
  std::exception_ptr try_run(const StepPlan& plan);
  /// Hands the logits to the tasks.
  void deliver(const StepPlan& plan);
  /// Lets the draft model guess for those that asked.
  void draft();
  void count(int64_t EngineStats::*counter);
  void publish_stats();

  // engine_requests.cc: the life of a request.
  void take_arrivals();
  void begin(Arrival arrival);
  static std::vector<Symbol> symbols_of(const Active& active);
  /// Whose sequences these are, for finding the task of an item.
  void note_owners(const Active& active);
  /// The request of a sequence, or null when it has ended.
  Active* owner_of(SequenceId sequence);
  Active* find_image(uint64_t image);
  void advance(Active& active, const LogitRows& rows);
  void end_unwanted();
  void exhaust(SequenceId sequence);
  /// The answer is complete.
  void retire(Active& active);
  void forget(Active& active);

  // engine_caching.cc: what outlives requests and the process.
  /// Throws: Error(kInvalidArgument) when this cannot be pinned.
  void check_pin(const GenerationRequest& request) const;
  int32_t tokens_to_pin(const GenerationRequest& request) const;
  /// Pages that pins would hold with this request's.
  int32_t pages_with_pin(const GenerationRequest& request, std::span<const Symbol> symbols) const;
  /// Why the prompt has no place beside what is pinned, or null.
  std::exception_ptr find_no_room(const GenerationRequest& request,
                                  std::span<const Symbol> symbols) const;
  /// Reads the longest stored prefix of a prompt into pages, if it is longer than what is cached.
  void restore_prefix(const GenerationRequest& request, std::span<const Symbol> symbols);
  std::vector<int32_t> lengths_to_restore(const GenerationRequest& request) const;
  std::optional<DiskEntry> find_prefix(const std::string& key, int32_t num_pages);
  bool fill_pages(std::span<const int32_t> pages, std::span<const std::byte> bytes);
  bool restore_features(uint64_t image, const PreparedImage& picture);
  void store_features(uint64_t image, const PreparedImage& picture, bool is_pinned);
  /// Pins the prefix that a request has computed; what is then to be stored.
  std::optional<PinToStore> pin(Active& active);
  void store(PinToStore pin);
  /// Calls a function on the engine's thread and returns its result.
  template <class Function>
  auto on_thread(Function function);

  // engine_recovery.cc: what is done when something fails.
  void encode_or_make_room(uint64_t image, const PreparedImage& picture);
  /// A picture cannot be encoded: its requests fail and leave the plan.
  void drop_shown(uint64_t image, StepPlan& plan, const std::exception_ptr& error);
  /// A batch failed: each of its items is tried alone.
  void run_one_by_one(StepPlan& plan);
  void make_room();
  void drop_caches();
  /// The request has failed.
  void drop(Active& active, const std::exception_ptr& error);
  void fail_all(const std::exception_ptr& error);
  /// Starts over with empty caches.
  void reset(const std::exception_ptr& error) noexcept;

  const EngineConfig config_;
  const EngineMemory memory_;
  const std::unique_ptr<Runner> runner_;
  const std::unique_ptr<DraftModel> draft_model_;  // outlives the tasks
  const text::Tokenizer& tokenizer_;
  const int32_t num_vocab_;
  const std::unique_ptr<PersistentCache> cache_;  ///< null: none
  ImageRegistry registry_;
  /// Open requests have a copy each.
  const std::shared_ptr<const void> is_open_ = std::make_shared<char>();
  std::atomic<Clock::rep> last_turn_{0};  ///< when its thread last took stock
  RequestInbox inbox_;
  Guarded<EngineStats> stats_;
  Guarded<std::function<void(const StepRecord&)>> watcher_;

  // The thread's own.
  std::optional<Scheduler> scheduler_;
  std::map<uint64_t, std::unique_ptr<Active>> active_;
  std::map<SequenceId, uint64_t> owners_;
  uint64_t last_number_ = 0;
  ChooserScratch scratch_;
  StepLogits logits_;
  int64_t generated_tokens_ = 0;
  int64_t draft_tokens_ = 0;
  int64_t accepted_tokens_ = 0;
  int64_t features_from_disk_ = 0;
  int64_t prefixes_from_disk_ = 0;

  std::jthread thread_;  // last: it uses all of the above
};

/// What callers see of an exception: memory that ran out is an Error like all others.
std::exception_ptr as_error(const std::exception_ptr& error);

/// Its message.
std::string reason_of(const std::exception_ptr& error);

}  // namespace llava::engine
