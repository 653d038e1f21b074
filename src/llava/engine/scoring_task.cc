// SPDX-License-Identifier: Apache-2.0
//
// Log-probabilities of given answers: the prompt is computed once, each answer in a fork of it.
#include <algorithm>

#include "llava/core/check.h"
#include "llava/engine/generation_task.h"
#include "llava/engine/logprobs.h"

namespace llava::engine {
namespace {

class ScoringTask final : public GenerationTask {
 public:
  ScoringTask(const TaskContext& context, SequenceId root) : GenerationTask(context, root) {}

  void take(const LogitRows& rows) override {
    if (branches_.empty()) {
      begin(rows);
      return;
    }
    const auto branch = std::ranges::find(branches_, rows.sequence, &Branch::sequence);
    LLAVA_CHECK(branch != branches_.end(), "sequence {}", rows.sequence);
    for (int32_t i = 0; i < rows.size(); ++i) score_next(*branch, rows.row(i));
  }

  void stop(FinishReason reason) override {
    while (!sequences_.empty()) end(sequences_.front(), reason);
  }

  void exhaust(SequenceId sequence) override { end(sequence, FinishReason::kLength); }

 private:
  struct Branch {
    int32_t index = 0;
    SequenceId sequence = 0;
    std::size_t num_scored = 0;
    AnswerDelta delta;
  };

  const std::vector<int32_t>& answer_of(const Branch& branch) const {
    return context_.request.scored_answers[static_cast<std::size_t>(branch.index)];
  }

  // The row after the prompt scores every answer's first token.
  void begin(const LogitRows& rows) {
    const SequenceId root = rows.sequence;
    const auto num_answers = static_cast<int32_t>(context_.request.scored_answers.size());
    for (int32_t i = 0; i < num_answers; ++i) {
      Branch branch;
      branch.index = i;
      branch.sequence = i + 1 < num_answers ? fork(root) : root;
      branch.delta.choice = i;
      branches_.push_back(std::move(branch));
    }
    for (Branch& branch : branches_) {
      const std::vector<int32_t>& answer = answer_of(branch);
      // The last token is scored, not computed.
      context_.scheduler.append(branch.sequence, std::span(answer).first(answer.size() - 1));
      score_next(branch, rows.row(0));
    }
  }

  void score_next(Branch& branch, std::span<const float> logits) {
    const int32_t id = answer_of(branch)[branch.num_scored++];
    const double total = log_sum_exp(logits);
    TokenChoice token;
    token.id = id;
    token.logprob =
        static_cast<float>(static_cast<double>(logits[static_cast<std::size_t>(id)]) - total);
    const int32_t num_top = context_.request.params.sampling.num_logprobs;
    if (num_top > 0) token.top = top_logprobs(logits, num_top, total);
    branch.delta.tokens.push_back(std::move(token));
    ++num_tokens_;
    if (branch.num_scored < answer_of(branch).size()) return;
    branch.delta.finish_reason = FinishReason::kEndToken;
    finish(branch.sequence);
    context_.stream.push(std::move(branch.delta));
  }

  void end(SequenceId sequence, FinishReason reason) {
    finish(sequence);
    const auto branch = std::ranges::find(branches_, sequence, &Branch::sequence);
    if (branch != branches_.end()) {
      branch->delta.finish_reason = reason;
      context_.stream.push(std::move(branch->delta));
      return;
    }
    // Ended before the prompt was computed.
    for (int32_t i = 0; i < static_cast<int32_t>(context_.request.scored_answers.size()); ++i) {
      AnswerDelta delta;
      delta.choice = i;
      delta.finish_reason = reason;
      context_.stream.push(std::move(delta));
    }
  }

  std::vector<Branch> branches_;
};

}  // namespace

std::unique_ptr<GenerationTask> make_scoring_task(const TaskContext& context, SequenceId root) {
  return std::make_unique<ScoringTask>(context, root);
}

}  // namespace llava::engine
