// SPDX-License-Identifier: Apache-2.0
//
// The answers of /v1/chat/completions: one JSON object, or server-sent events.
#pragma once

#include <memory>
#include <vector>

#include "llava/serve/chat/answer_pump.h"
#include "llava/serve/http/event_stream.h"
#include "llava/serve/openai/answer_json.h"

namespace llava::serve {

/// How a chat's answer is written.
struct ChatAnswerForm {
  AnswerHead head;
  int32_t num_choices = 1;
  bool has_logprobs = false;
  bool is_streamed = false;
  bool includes_usage = false;
  bool has_continuous_usage = false;
  bool has_timings = false;
  EventStreamOptions events;
};

/// `tokenizer` outlives the writer.
std::unique_ptr<AnswerWriter> make_chat_writer(ChatAnswerForm form,
                                               const text::Tokenizer& tokenizer,
                                               std::shared_ptr<HttpExchange> exchange);

/// One server-sent event.
std::string event_of(const OrderedJson& json);

inline constexpr std::string_view kLastEvent = "data: [DONE]\n\n";

}  // namespace llava::serve
