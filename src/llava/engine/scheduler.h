// SPDX-License-Identifier: Apache-2.0
//
// The scheduler: which positions of which sequences the next step computes, in which pages, and
// which pictures it encodes first. Continuous batching with chunked prefill, shared prefixes,
// preemption and fair admission, all in plain integers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/config.h"
#include "llava/engine/answer_length.h"
#include "llava/engine/encoder_cache.h"
#include "llava/engine/kv_blocks.h"
#include "llava/engine/prefix_tree.h"
#include "llava/engine/step_plan.h"
#include "llava/engine/waiting_queue.h"

namespace llava::engine {

/// What one step may hold.
struct SchedulerConfig {
  int32_t max_running_requests = 64;
  int32_t max_batched_tokens = 4096;
  int32_t chunked_prefill_size = 1024;
  int32_t encoder_tokens_per_step = 2880;
  int32_t page_size = 16;
  std::string schedule_policy = "fair";
  int32_t max_wait_boost_ms = 10000;
  std::string prefix_cache = "on";

  template <class V>
  void describe(V& v) {
    v.field("max-running-requests", max_running_requests, "sequences that run at the same time",
            in_range(1, 4096));
    v.field("max-batched-tokens", max_batched_tokens, "tokens of all sequences in one step",
            in_range(1, 1 << 20));
    v.field("chunked-prefill-size", chunked_prefill_size,
            "prompt tokens in one step; long prompts are cut into chunks of this size",
            in_range(1, 1 << 20));
    v.field("encoder-tokens-per-step", encoder_tokens_per_step,
            "picture tokens encoded in one step; one picture is always allowed",
            in_range(1, 1 << 20));
    v.field("page-size", page_size, "tokens in one page of the KV cache",
            Constraint<int32_t>{is_page_size, "1, 8, 16 or 64"});
    v.field(
        "schedule-policy", schedule_policy,
        "who is admitted first: fair (the client served least), fcfs (by arrival), lpm (longest "
        "cached prefix)",
        one_of({"fair", "fcfs", "lpm"}));
    v.field("max-wait-boost-ms", max_wait_boost_ms,
            "a request that has waited this long goes first; under fair, first of its client's",
            at_least(0));
    v.field("prefix-cache", prefix_cache, "keep the KV of finished prompts for those that follow",
            one_of({"on", "off"}));
  }
};

/// A sequence as it is submitted.
struct SequenceRequest {
  /// Whom its forks belong to as well; `finish_all` ends them together.
  uint64_t owner = 0;
  std::string client;
  int32_t priority = 0;
  /// Root of the prefix tree: sequences share prefixes only within one scope.
  std::string cache_scope;
  std::vector<Symbol> prompt;
  int32_t max_new_tokens = 0;
  int64_t arrival_ms = 0;
};

/// Counters since the start.
struct SchedulerStats {
  int64_t num_steps = 0;
  int64_t prompt_tokens = 0;  ///< of admitted prompts
  int64_t cached_tokens = 0;  ///< of those, taken from the cache
  int64_t computed_tokens = 0;
  int64_t encoded_images = 0;
  int64_t preemptions = 0;
};

/// Life of a sequence: `add` puts it into the waiting queue; `plan` admits it and hands out its
/// positions in steps; `complete` says that a step was carried out. When its last position has
/// been computed and its logits delivered, it rests until `append`. It may be forked, truncated
/// (rejected draft tokens) and finished at any time between steps.
///
/// Memory: pages of finished and preempted sequences stay in the prefix tree until they are needed.
/// Threads: one thread at a time.
class Scheduler {
 public:
  /// `encoder_bytes_per_token` is the size of one row of picture features, for the budget of
  /// `encoder_cache`.
  Scheduler(const SchedulerConfig& config, int32_t num_pages, int64_t encoder_cache_bytes,
            int64_t encoder_bytes_per_token);

  /// Throws: Error(kInvalidArgument) for an empty prompt or one that does not fit the cache even
  /// alone.
  SequenceId add(SequenceRequest request);
  /// A sequence with the same symbols, sharing all pages; its last page is copied when it goes on.
  SequenceId fork(SequenceId parent);
  /// Appends tokens to be computed; logits are wanted after each of them.
  void append(SequenceId sequence, std::span<const int32_t> tokens);
  /// Forgets the positions from `length` on.
  void truncate(SequenceId sequence, int32_t length);
  /// Ends a sequence in any state; its full pages stay in the prefix tree.
  void finish(SequenceId sequence);
  /// Ends every sequence of an owner.
  void finish_all(uint64_t owner);

  /// The next step. Empty when there is nothing to compute.
  StepPlan plan(int64_t now_ms);
  /// What is left in `plan` was carried out: pictures encoded, items computed. What was taken out
  /// of it will be planned again.
  void complete(const StepPlan& plan);
  /// Sequences that cannot go on although they are alone: the cache is too small for them. They
  /// are to be finished.
  std::vector<SequenceId> take_exhausted();

  /// Whole pages of a prompt's beginning that pins may hold in all: half of the cache, so that
  /// there is room to work in.
  int32_t max_pinned_pages() const { return blocks_.num_pages() / 2; }
  /// Pins the first `num_tokens`, whole pages, of a sequence that has computed them; its name
  /// moves. False when pins may not hold so many pages.
  bool pin(SequenceId sequence, const std::string& name, int32_t num_tokens);
  /// Whether there was such a pin.
  bool unpin(std::string_view name) { return tree_.unpin(name); }
  /// Pages for the contents of a prefix that is cached elsewhere; none when running sequences hold
  /// too many. They are given to the tree with `adopt_pages` or back with `return_pages`.
  std::vector<int32_t> take_pages(int32_t num_pages);
  void return_pages(std::span<const int32_t> pages);
  /// These pages now hold the keys and values of `symbols`.
  void adopt_pages(std::string_view scope, std::span<const Symbol> symbols,
                   std::vector<int32_t> pages);

  /// Drops everything that no sequence uses from the prefix tree and the encoder cache; returns the
  /// pictures that the runner must drop.
  std::vector<uint64_t> free_caches();

  int32_t num_tokens(SequenceId sequence) const;
  /// Prompt tokens that were taken from the cache when the sequence was first admitted.
  int32_t num_cached_tokens(SequenceId sequence) const;
  int32_t num_preemptions(SequenceId sequence) const;
  /// Whether the sequence has been admitted at least once.
  bool has_started(SequenceId sequence) const;

  int32_t num_running() const { return static_cast<int32_t>(running_.size()); }
  int32_t num_waiting() const { return static_cast<int32_t>(waiting_.size()); }
  /// Most tokens that one sequence can have.
  int32_t capacity_tokens() const { return blocks_.num_pages() * config_.page_size; }
  const KvBlocks& blocks() const { return blocks_; }
  const PrefixTree& tree() const { return tree_; }
  const EncoderCache& encoder() const { return encoder_; }
  const SchedulerStats& stats() const { return stats_; }

 private:
  struct ImageUse {
    uint64_t image = 0;
    int32_t offset = 0;
    int32_t num_tokens = 0;
    bool is_held = false;  ///< referenced in the encoder cache
  };
  struct Sequence {
    SequenceId id = 0;
    uint64_t owner = 0;
    std::string client;
    int32_t priority = 0;
    std::string cache_scope;
    int64_t arrival_ms = 0;
    std::vector<Symbol> symbols;
    std::vector<ImageUse> images;
    int32_t prompt_tokens = 0;
    int32_t max_new_tokens = 0;
    int32_t num_computed = 0;
    int32_t num_delivered = 0;  ///< positions below this one want no logits
    int32_t num_charged = 0;    ///< positions below this one were charged to the client
    std::vector<int32_t> pages;
    /// The first lock.num_pages pages are the prefix tree's, held by this; the others are
    /// referenced.
    PrefixLock lock;
    /// The page whose first positions are to be copied into a page of its own.
    std::optional<int32_t> borrowed_page;
    bool is_running = false;
    bool has_started = false;
    int32_t num_cached_tokens = 0;
    int32_t num_preemptions = 0;
    double service = 0;

    int32_t num_tokens() const { return static_cast<int32_t>(symbols.size()); }
    int32_t num_pending() const { return num_tokens() - num_computed; }
    /// What may be taken from the prefix cache, and one more: no position whose logits are wanted.
    std::span<const Symbol> cacheable() const {
      return std::span(symbols).first(
          std::min(symbols.size(), static_cast<std::size_t>(num_delivered) + 1));
    }
    bool is_decoding() const { return num_pending() > 0 && num_computed >= num_delivered; }
  };

  bool has_prefix_cache() const { return config_.prefix_cache == "on"; }
  Sequence& get(SequenceId id);
  const Sequence& get(SequenceId id) const;
  int32_t pages_for(int64_t num_tokens) const;
  int32_t num_obtainable() const;
  int32_t missing_pages(const Sequence& sequence, int32_t num_tokens) const;
  int32_t obtain_page();
  void extend_pages(Sequence& sequence, int32_t num_tokens, StepPlan& plan);
  void insert_into_tree(Sequence& sequence);
  void release_pages(Sequence& sequence);
  void release_images(Sequence& sequence, int32_t below);
  /// Back into the queue; what was computed stays in the prefix tree.
  void push_back(Sequence& sequence);
  void preempt(Sequence& sequence);
  Sequence* choose_victim(const Sequence* keep);
  void enqueue(const Sequence& sequence, bool is_returning);

  void plan_decodes(StepPlan& plan, int32_t& token_budget);
  void plan_chunks(StepPlan& plan, int32_t& token_budget, int32_t& chunk_budget);
  void plan_admissions(StepPlan& plan, int32_t& token_budget, int32_t& chunk_budget,
                       int64_t now_ms);
  void plan_one_chunk(Sequence& sequence, StepPlan& plan, int32_t& token_budget,
                      int32_t& chunk_budget);
  /// How many of the next `wanted` positions have their pictures encoded, or can have in this step.
  int32_t encode_ahead(Sequence& sequence, int32_t wanted, StepPlan& plan);
  bool acquire_image(Sequence& sequence, ImageUse& use, StepPlan& plan);
  void emit(Sequence& sequence, int32_t num_new, StepPlan& plan);
  bool can_admit(const Sequence& sequence, int32_t num_cached) const;
  /// Whether a running sequence is computing a prefix that this one had better wait for.
  bool is_prefix_coming(const Sequence& sequence, int32_t num_cached) const;
  void admit(Sequence& sequence);
  void make_progress(StepPlan& plan, int64_t now_ms);

  SchedulerConfig config_;
  KvBlocks blocks_;
  PrefixTree tree_;
  EncoderCache encoder_;
  int64_t encoder_bytes_per_token_;
  WaitingQueue waiting_;
  std::map<SequenceId, Sequence> sequences_;
  std::vector<SequenceId> running_;  ///< in order of admission
  std::vector<SequenceId> exhausted_;
  SequenceId next_id_ = 1;
  int32_t encode_budget_ = 0;
  AnswerLength answer_length_;
  SchedulerStats stats_;
};

}  // namespace llava::engine
