// SPDX-License-Identifier: Apache-2.0
//
// Log-probabilities of a prompt's own tokens, as SGLang's `select` wants them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "llava/core/json.h"
#include "llava/engine/generation_request.h"
#include "llava/engine/token_chooser.h"
#include "llava/text/tokenizer.h"

namespace llava::serve {

/// Makes a request one that scores its prompt's tokens behind position `start`; false when there
/// are none, which leaves it as it is.
///
/// Throws: ApiError 400 naming `logprob_start_len` when a picture stands behind it.
bool split_for_scores(engine::GenerationRequest& request, int32_t start);

/// Threads: one thread at a time.
class PromptScores {
 public:
  /// The prompt's first token, which nothing predicts.
  void add_first(int32_t id) { tokens_.push_back({id, std::nullopt}); }
  void add(std::span<const engine::TokenChoice> tokens);

  /// Adds `input_token_logprobs`, and what versions of 2024 read: `prompt_logprob` and
  /// `normalized_prompt_logprob`, their mean.
  void write(const text::Tokenizer& tokenizer, OrderedJson& meta) const;

 private:
  struct Token {
    int32_t id;
    std::optional<float> logprob;
  };
  std::vector<Token> tokens_;
};

}  // namespace llava::serve
