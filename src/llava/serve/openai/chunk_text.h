// SPDX-License-Identifier: Apache-2.0
//
// ChunkText: the events of a stream as text. What is the same in all of them is written once; byte
// for byte they are what the JSON library writes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "llava/core/json.h"
#include "llava/serve/openai/answer_json.h"

namespace llava::serve {

/// Appends `text` as a JSON string, as `to_text` writes it.
void append_json_string(std::string& out, std::string_view text);

/// Threads: const, safe to share.
class ChunkText {
 public:
  /// `object`: the type that each event names, "chat.completion.chunk".
  ChunkText(const AnswerHead& head, std::string_view object);

  /// The event of one piece of a chat's answer. `logprobs` is its member of that name, JSON;
  /// `end` the members behind `choices`: empty, or with the comma before them.
  std::string chat_piece(int32_t choice, std::string_view content, std::string_view logprobs,
                         std::string_view end) const;
  /// The same of a text completion.
  std::string completion_piece(int32_t choice, std::string_view text, std::string_view logprobs,
                               std::string_view end) const;

 private:
  std::string head_;  ///< up to the number of the choice
};

}  // namespace llava::serve
