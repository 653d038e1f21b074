// SPDX-License-Identifier: Apache-2.0
//
// What a model in training answers to a few held-out questions: the run's predictions.jsonl, which
// `llava train report` shows.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "llava/data/conversation_file.h"
#include "llava/data/question.h"
#include "llava/train/forward_pass.h"

namespace llava::train {

/// Threads: one thread.
class SampleAnswers {
 public:
  /// Takes the first question of each of the first `count` records; keeps a reference to `maker`.
  /// `batch_size` questions are answered together.
  ///
  /// Throws: what data::first_question throws.
  SampleAnswers(const data::ConversationFile& file, const data::SampleMaker& maker, int64_t count,
                int32_t batch_size);

  /// Answers by the model as it is, one line of the file each: {"step", "sample", "image",
  /// "prompt", "reference", "answer"}. They have at most 128 tokens.
  std::vector<nlohmann::json> answer(Context& ctx, const model::LlavaModel& model,
                                     const PassOptions& options, int64_t step) const;

 private:
  const data::SampleMaker& maker_;
  std::vector<data::Question> questions_;
  int32_t batch_size_;
};

}  // namespace llava::train
