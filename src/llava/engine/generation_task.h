// SPDX-License-Identifier: Apache-2.0
//
// What a running request does with the logits of its sequences: one task for sampled or greedy
// choices, one for beam search, one for scoring given answers, one for where these looked. Tasks
// live on the engine's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "llava/engine/answer_stream.h"
#include "llava/engine/draft_model.h"
#include "llava/engine/generation_request.h"
#include "llava/engine/scheduler.h"
#include "llava/text/tokenizer.h"

namespace llava::engine {

/// The logits after consecutive positions of one sequence; for a request that asks where an answer
/// looked, the positions' maps of attention.
struct LogitRows {
  SequenceId sequence = 0;
  /// Position of the symbol that the first row follows.
  int32_t first_position = 0;
  int32_t width = 0;  ///< of a row: the vocabulary's size, or the map's
  std::span<float> values;

  int32_t size() const { return static_cast<int32_t>(values.size()) / width; }
  std::span<float> row(int32_t index) const {
    return values.subspan(static_cast<std::size_t>(index) * static_cast<std::size_t>(width),
                          static_cast<std::size_t>(width));
  }
};

/// Tokens of an answer whose looks go into one step, so that their maps take little memory and
/// other answers wait little.
inline constexpr std::size_t kLookTokensPerStep = 32;

/// What a task works with; all of it outlives the task.
struct TaskContext {
  Scheduler& scheduler;
  const text::Tokenizer& tokenizer;
  const GenerationRequest& request;
  AnswerStream& stream;
  ChooserScratch& scratch;
  /// Longest guess of speculative decoding; 0: none.
  int32_t max_draft_tokens = 0;
  /// Null: guesses come from the text alone.
  DraftModel* draft_model = nullptr;
  /// Names the request for the draft model.
  uint64_t request_number = 0;
};

/// Threads: the engine's.
class GenerationTask {
 public:
  virtual ~GenerationTask() = default;

  /// Takes the logits of one of its sequences and appends to, forks and finishes sequences.
  ///
  /// Throws: Error; the request has failed then.
  virtual void take(const LogitRows& rows) = 0;
  /// Appends what the draft model proposed.
  virtual void take_guesses() {}
  /// Ends what has not ended, with this reason.
  virtual void stop(FinishReason reason) = 0;
  /// The cache has no room for this sequence to go on.
  virtual void exhaust(SequenceId sequence) = 0;

  /// Its sequences that have not ended; none: the answer is complete.
  const std::vector<SequenceId>& sequences() const { return sequences_; }
  /// Tokens generated so far, and what speculation did.
  int32_t num_tokens() const { return num_tokens_; }
  int32_t num_draft_tokens() const { return num_draft_tokens_; }
  int32_t num_accepted_tokens() const { return num_accepted_tokens_; }

 protected:
  GenerationTask(const TaskContext& context, SequenceId root)
      : context_(context), sequences_{root} {}

  SequenceId fork(SequenceId parent);
  void finish(SequenceId sequence);

  TaskContext context_;
  std::vector<SequenceId> sequences_;
  int32_t num_tokens_ = 0;
  int32_t num_draft_tokens_ = 0;
  int32_t num_accepted_tokens_ = 0;
};

/// The task that a request calls for; `root` is its sequence, which holds the prompt.
std::unique_ptr<GenerationTask> make_task(const TaskContext& context, SequenceId root);

std::unique_ptr<GenerationTask> make_choices_task(const TaskContext& context, SequenceId root);
std::unique_ptr<GenerationTask> make_beam_task(const TaskContext& context, SequenceId root);
std::unique_ptr<GenerationTask> make_scoring_task(const TaskContext& context, SequenceId root);
std::unique_ptr<GenerationTask> make_look_task(const TaskContext& context, SequenceId root);

}  // namespace llava::engine
