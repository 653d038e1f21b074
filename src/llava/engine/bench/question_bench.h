// SPDX-License-Identifier: Apache-2.0
//
// Questions about pictures through the engine, as users ask them: from submission to the first
// token, of a picture that is new and of one that was asked about before.
#pragma once

#include <cstdint>
#include <memory>

#include "llava/core/random.h"
#include "llava/engine/engine.h"
#include "llava/model/llava_model.h"

namespace llava::engine {

/// How long one question took.
struct QuestionTimes {
  double first_token_ms = 0;
  double encode_ms = 0;
};

/// An engine of its own on a model, with prompts of random tokens and pictures of random pixels of
/// the tower's size.
///
/// Threads: one thread at a time, and not while the model is used otherwise.
class QuestionBench {
 public:
  /// Questions of at most `num_text_tokens` besides the picture.
  ///
  /// Throws: Error(kResourceExhausted) when the cache does not fit.
  QuestionBench(Context& ctx, const model::LlavaModel& model, DType kv_dtype,
                int32_t num_text_tokens);
  ~QuestionBench();

  /// Asks about a picture that nobody has asked about.
  ///
  /// Throws: what the engine's stream throws.
  QuestionTimes ask_first(int32_t num_text_tokens);
  /// Asks about the picture of the last first question, with another text behind it; asks a first
  /// one, not timed, when there was none.
  QuestionTimes ask_second(int32_t num_text_tokens);

 private:
  QuestionTimes ask(int32_t num_text_tokens);

  const model::LlavaModel& model_;
  Generator random_{3};
  image::ImageLayout layout_;
  Tensor pixels_ICHW_;
  ImageKey picture_;
  bool has_picture_ = false;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace llava::engine
