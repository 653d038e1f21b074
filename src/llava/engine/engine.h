// SPDX-License-Identifier: Apache-2.0
//
// The engine: many requests at once on one model. Callers submit from any thread and read their
// streams; one thread of the engine's own schedules, runs the model and chooses tokens. With
// replicas there is one such thread for each, with caches of its own, and the weights are shared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/core/guarded.h"
#include "llava/engine/answer_stream.h"
#include "llava/engine/draft_model.h"
#include "llava/engine/generation_request.h"
#include "llava/engine/image_registry.h"
#include "llava/engine/persistent_cache.h"
#include "llava/engine/replica_chooser.h"
#include "llava/engine/runner.h"
#include "llava/engine/scheduler.h"
#include "llava/text/tokenizer.h"

namespace llava::engine {

/// How the engine works.
struct EngineConfig {
  SchedulerConfig scheduler;
  int32_t max_queued_requests = 256;
  int64_t max_queued_tokens = 0;
  int32_t max_draft_tokens = 0;
  /// What a reader may leave unread, and for how long, before its request is ended; 0: no bound.
  /// For readers elsewhere. One in this process may be stopped (Ctrl-Z, a pager) for as long as it
  /// likes.
  int32_t max_unread_kb = 0;
  int32_t max_unread_ms = 0;

  template <class V>
  void describe(V& v) {
    scheduler.describe(v);
    v.field("max-queued-requests", max_queued_requests, "requests that may wait; more are refused",
            in_range(1, 1 << 20));
    v.field("max-queued-tokens", max_queued_tokens,
            "tokens of their prompts, all together; 0: eight times what the KV cache holds",
            at_least(int64_t{0}));
  }
};

/// What the caches of a replica may hold.
struct EngineMemory {
  int32_t num_pages = 0;
  int64_t encoder_cache_bytes = 0;
  int64_t encoder_bytes_per_token = 0;
};

/// Numbers of the engine at a moment.
struct EngineStats {
  SchedulerStats scheduler;
  int32_t num_running = 0;
  int32_t num_waiting = 0;
  int64_t queued_tokens = 0;  ///< of the prompts that wait
  int32_t pages_used = 0;     ///< by running sequences and pins
  int32_t pages_cached = 0;   ///< by the prefix cache alone
  int32_t pages_total = 0;
  int32_t page_size = 0;  ///< tokens
  int32_t pages_pinned = 0;
  int64_t received = 0;
  int64_t finished = 0;
  int64_t aborted = 0;
  int64_t rejected = 0;
  int64_t failed = 0;
  int64_t features_from_disk = 0;  ///< pictures that were not encoded for it
  int64_t prefixes_from_disk = 0;
  int64_t generated_tokens = 0;
  int64_t draft_tokens = 0;
  int64_t accepted_tokens = 0;

  /// Adds another replica's, whose pages have the same size.
  EngineStats& operator+=(const EngineStats& other);
};

/// One step of the engine, for who watches it.
struct StepRecord {
  int32_t num_sequences = 0;
  int32_t num_tokens = 0;      ///< positions computed, of prompts and answers
  int64_t num_new_tokens = 0;  ///< tokens of answers that it gave
  double seconds = 0;
};

/// A prefix that is held under a name.
struct PinInfo {
  std::string name;
  int32_t num_tokens = 0;
  bool is_in_memory = false;
  bool is_on_disk = false;
};

/// What a replica computes with, all of it its own.
struct EngineReplica {
  std::unique_ptr<Runner> runner;
  std::unique_ptr<DraftModel> draft_model;  ///< null: none
  /// Where features and pins outlive the engine; null: nowhere.
  std::unique_ptr<PersistentCache> cache;
};

class EngineLoop;

/// Threads: safe. Streams may outlive the engine; they end with an error then.
class Engine {
 public:
  /// The tokenizer must outlive the engine. `num_vocab` is the width of the model's logits. The
  /// replicas, of which there are at most ReplicaChooser::kMaxReplicas, are equal and share what
  /// may be queued; each has `memory`.
  Engine(const EngineConfig& config, const EngineMemory& memory,
         std::vector<EngineReplica> replicas, const text::Tokenizer& tokenizer, int32_t num_vocab);
  /// One replica, without a draft model and a cache on disk.
  Engine(const EngineConfig& config, const EngineMemory& memory, std::unique_ptr<Runner> runner,
         const text::Tokenizer& tokenizer, int32_t num_vocab);
  /// Ends what runs with kUnavailable.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Queues a request.
  ///
  /// Throws: Error(kInvalidArgument) for settings out of range, ids outside the vocabulary, a
  /// prompt that the KV cache cannot hold or a pin that cannot be; Error(kUnavailable) when the
  /// queue is full. The stream ends with Error(kResourceExhausted) where pins would hold more of
  /// the cache than half.
  std::shared_ptr<AnswerStream> submit(GenerationRequest request);

  /// Forgets what a request pinned under this name, in memory and on disk. Whether there was such a
  /// pin.
  bool unpin(const std::string& name);
  /// Everything that is pinned, by name.
  std::vector<PinInfo> pins();
  /// One vector for a picture or a text (runner.h), computed between two steps. Waits for it.
  ///
  /// Throws: Error(kInvalidArgument) for a text that is empty or longer than `capacity_tokens`.
  std::vector<float> embed_picture(const PreparedImage& picture, PicturePooling pooling);
  std::vector<float> embed_text(std::span<const int32_t> ids);
  /// Forgets what nobody uses: cached prefixes and pictures, in memory.
  void drop_unused();
  /// Waits until what is to be kept on disk is there.
  void flush_cache();

  EngineStats stats() const;
  /// For how long a thread of its own has been at one step, the longest time; 0 while there is
  /// nothing to do. From any thread, without waiting for the step.
  double silent_seconds() const;
  /// Calls `watcher` after each step that computed something, on the thread of its replica, so
  /// perhaps on several at once; an empty one ends that. When it returns, the watcher before is not
  /// called any more.
  void watch_steps(std::function<void(const StepRecord&)> watcher);
  /// Waits until nothing runs or waits.
  void wait_until_idle();
  /// Most tokens that one sequence can have.
  int32_t capacity_tokens() const;

 private:
  EngineLoop& least_busy() const;

  Guarded<ReplicaChooser> chooser_;
  std::vector<std::unique_ptr<EngineLoop>> replicas_;
};

}  // namespace llava::engine
