// SPDX-License-Identifier: Apache-2.0
//
// The answers of /v1/completions: those of several prompts in one JSON object, or in one stream.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "llava/serve/chat/answer_pump.h"
#include "llava/serve/http/event_stream.h"
#include "llava/serve/openai/answer_json.h"
#include "llava/serve/openai/chunk_text.h"

namespace llava::serve {

struct CompletionForm {
  AnswerHead head;
  int32_t num_prompts = 1;
  int32_t num_choices = 1;  ///< of each prompt
  bool has_logprobs = false;
  bool is_streamed = false;
  bool includes_usage = false;
  bool has_timings = false;
  EventStreamOptions events;
};

/// Puts the answers of a request's prompts together.
///
/// Threads: its writers run on the connection's strand.
class CompletionAnswer : public std::enable_shared_from_this<CompletionAnswer> {
 public:
  /// `tokenizer` outlives it.
  CompletionAnswer(CompletionForm form, const text::Tokenizer& tokenizer,
                   std::shared_ptr<HttpExchange> exchange);

  /// The writer of one prompt's answer.
  std::unique_ptr<AnswerWriter> writer_of(int32_t prompt);
  /// What is called when the answer of one prompt fails: the others are not wanted any more.
  void on_failure(std::function<void()> callback) { on_failure_ = std::move(callback); }

 private:
  class Writer;
  struct Choice {
    std::string text;
    std::vector<engine::TokenChoice> tokens;
    std::string_view finish_reason = "stop";
  };

  void write(int32_t prompt, const engine::AnswerDelta& delta);
  void end(const engine::AnswerUsage& usage);
  void fail(const ApiError& error);
  void finish();
  OrderedJson choice_json(int32_t index, std::string text,
                          const std::vector<engine::TokenChoice>& tokens, bool is_first) const;

  CompletionForm form_;
  const text::Tokenizer& tokenizer_;
  std::shared_ptr<HttpExchange> exchange_;
  std::shared_ptr<EventStream> answer_;
  ChunkText text_;
  std::function<void()> on_failure_;
  std::vector<Choice> choices_;
  std::vector<bool> has_begun_;
  engine::AnswerUsage usage_;
  int32_t num_ended_ = 0;
  bool is_over_ = false;
};

}  // namespace llava::serve
