// SPDX-License-Identifier: Apache-2.0
//
// Where a given answer looked: its tokens are computed as if they had just been chosen, and each of
// the positions that chose them says how its attention lies over the prompt's pictures.
#include <algorithm>
#include <cmath>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/engine/generation_task.h"

namespace llava::engine {
namespace {

class LookTask final : public GenerationTask {
 public:
  LookTask(const TaskContext& context, SequenceId root) : GenerationTask(context, root) {}

  void take(const LogitRows& rows) override {
    AnswerDelta delta;
    for (int32_t i = 0; i < rows.size(); ++i) {
      LLAVA_CHECK(num_looked_ < answer().size());
      const std::span<const float> map = rows.row(i);
      if (!std::ranges::all_of(map, [](float value) { return std::isfinite(value); })) {
        fail(ErrorCode::kBadFormat,
             "the model's attention for token {} of the answer is not a number: its weights are "
             "damaged, or too large for the compute type; try --dtype float32",
             num_looked_ + 1);
      }
      TokenChoice token;
      token.id = answer()[num_looked_++];
      delta.tokens.push_back(std::move(token));
      delta.attention.insert(delta.attention.end(), map.begin(), map.end());
      ++num_tokens_;
    }
    const bool is_complete = num_looked_ == answer().size();
    if (is_complete) delta.finish_reason = FinishReason::kEndToken;
    // The last token is looked for, not computed.
    if (is_complete) {
      finish(rows.sequence);
    } else if (num_appended_ < num_looked_) {
      const std::size_t next = std::min(num_looked_ + kLookTokensPerStep, answer().size()) - 1;
      context_.scheduler.append(rows.sequence,
                                std::span(answer()).subspan(num_appended_, next - num_appended_));
      num_appended_ = next;
    }
    context_.stream.push(std::move(delta));
  }

  void stop(FinishReason reason) override {
    while (!sequences_.empty()) end(sequences_.front(), reason);
  }

  void exhaust(SequenceId sequence) override { end(sequence, FinishReason::kLength); }

 private:
  const std::vector<int32_t>& answer() const { return context_.request.look->answer; }

  void end(SequenceId sequence, FinishReason reason) {
    finish(sequence);
    AnswerDelta delta;
    delta.finish_reason = reason;
    context_.stream.push(std::move(delta));
  }

  std::size_t num_looked_ = 0;
  std::size_t num_appended_ = 0;
};

}  // namespace

std::unique_ptr<GenerationTask> make_look_task(const TaskContext& context, SequenceId root) {
  return std::make_unique<LookTask>(context, root);
}

}  // namespace llava::engine
