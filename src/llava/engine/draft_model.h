// SPDX-License-Identifier: Apache-2.0
//
// DraftModel: a small model that guesses what a large one will say next, for all sequences of a
// step together. It has a scheduler, pages and a runner of its own; whether its guesses are right
// is for the large model's next step to find out, so nothing here can change an answer.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llava/engine/runner.h"
#include "llava/engine/scheduler.h"

namespace llava::engine {

struct DraftModelConfig {
  SchedulerConfig scheduler;
  int32_t num_pages = 0;
  /// Ids at and above this one are no tokens of both vocabularies: the draft model neither sees nor
  /// proposes them.
  int32_t num_ids = 0;
  /// Positions the draft model was trained for.
  int32_t context_length = 0;
  /// Time of one guess, verified, as a share of the time of a step with one token.
  double cost_per_token = 0;
};

/// Memory: pages of ended sequences stay in its prefix tree until they are needed.
/// Threads: one thread at a time; it is that of the backend.
class DraftModel {
 public:
  DraftModel(const DraftModelConfig& config, std::unique_ptr<Runner> runner);

  /// Computes the guesses that were asked for since the last call, all sequences as one batch. One
  /// whose text is long is caught up over several calls and has no guesses until then. What fails
  /// is logged and forgotten: the sequences at hand get no more guesses.
  void propose();

  /// Sequences that hold pages here.
  int32_t num_sequences() const {
    return scheduler_ ? scheduler_->num_running() + scheduler_->num_waiting() : 0;
  }
  double cost_per_token() const { return config_.cost_per_token; }

 private:
  friend class DraftSequence;
  struct Entry {
    uint64_t request = 0;
    std::vector<int32_t> text;
    std::optional<SequenceId> sequence;  ///< in the scheduler here
    std::vector<int32_t> given;          ///< the tokens of that sequence
    std::size_t num_prompt = 0;          ///< of them, when it was admitted
    bool is_caught_up = false;           ///< at least once
    bool is_given_up = false;
    int32_t num_wanted = 0;
    double probability = 1;  ///< of all guesses so far, by this model
    std::vector<int32_t> guesses;
  };

  bool knows(int32_t id) const { return id >= 0 && id < config_.num_ids; }
  Entry& entry_of(SequenceId sequence);
  bool is_any_wanted() const;
  /// Whether another sequence of the same request computes what this one could share.
  bool is_prompt_underway(const Entry& entry) const;
  void admit(uint64_t id, Entry& entry);
  void give_text(Entry& entry);
  void give_up(Entry& entry);
  void run_step(const StepPlan& plan);
  void guess(Entry& entry, std::span<const float> logits);
  void start_over(const std::string& reason);
  void end(uint64_t id) noexcept;

  DraftModelConfig config_;
  std::unique_ptr<Runner> runner_;
  std::optional<Scheduler> scheduler_;
  std::map<uint64_t, Entry> entries_;
  uint64_t last_id_ = 0;
  StepLogits logits_;
};

/// The text of one sequence as the draft model follows it. Must not outlive the model.
class DraftSequence {
 public:
  /// Negative ids of `text` stand for pictures: the draft model sees the text around them.
  /// Sequences of one `request` share the computation of their common prompt.
  DraftSequence(DraftModel& model, uint64_t request, std::span<const int32_t> text);
  ~DraftSequence();
  DraftSequence(DraftSequence&& other) noexcept;
  DraftSequence& operator=(DraftSequence&&) = delete;

  /// Takes a token of the answer.
  void append(int32_t id);
  /// Asks for at most `count` guesses from the next DraftModel::propose.
  void want(int32_t count);
  /// The guesses; once.
  std::vector<int32_t> take();

 private:
  DraftModel* model_;
  uint64_t id_;
};

}  // namespace llava::engine
