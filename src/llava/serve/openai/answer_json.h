// SPDX-License-Identifier: Apache-2.0
//
// Parts of OpenAI's answers that several endpoints share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/engine/answer_stream.h"
#include "llava/text/tokenizer.h"

namespace llava::serve {

/// What stays the same over all parts of one answer.
struct AnswerHead {
  std::string id;      ///< "chatcmpl-..."
  std::string object;  ///< "chat.completion"
  int64_t created = 0;
  std::string model;
  std::string fingerprint;
  int32_t image_tokens = 0;
};

OrderedJson head_json(const AnswerHead& head, std::string_view object);

/// `usage`; `completion_tokens` counts those of all choices.
OrderedJson usage_json(const engine::AnswerUsage& usage, int32_t image_tokens);

/// `timings` in llama.cpp's names.
OrderedJson timings_json(const engine::AnswerUsage& usage);

/// "stop" or "length".
std::string_view finish_reason_word(engine::FinishReason reason);

/// `logprobs.content` of some tokens. `is_first` says whether the first of them begins the answer.
OrderedJson logprobs_json(const text::Tokenizer& tokenizer,
                          const std::vector<engine::TokenChoice>& tokens, bool is_first);

}  // namespace llava::serve
