// SPDX-License-Identifier: Apache-2.0
//
// From prompt text with `<image>` in it to ids with one sentinel for each picture. The layouts do
// it in two ways that give different ids; expand_images (multimodal_sequence.h) follows.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "llava/text/tokenizer.h"

namespace llava::text {

struct PromptOptions {
  /// Add begin and end tokens as the tokenizer's configuration says.
  bool add_special = true;
  /// Where the text itself begins with the begin token (as rendered Llama-3 prompts do), do not add
  /// a second one.
  bool has_single_begin = false;
  /// The text has guards (token_guard.h).
  bool has_guards = false;
};

/// Ids of a prompt in the original's way: the text between placeholders is tokenized piece by
/// piece, so every piece starts as a text of its own, and one kImageSentinel stands between pieces.
/// The begin token is kept once; only one that the tokenizer itself added is dropped from the later
/// pieces, where the original drops their first id blindly.
///
/// Throws: as Tokenizer::encode.   Threads: safe.
/// Source: LLaVA 1.2.2 `tokenizer_image_token`.
std::vector<int32_t> tokenize_with_images(const Tokenizer& tokenizer, std::string_view prompt,
                                          const PromptOptions& options = {});

/// Ids of a prompt in the llava-hf way: the text is tokenized whole, in which the image token is an
/// added token; its id becomes kImageSentinel. The processors repeat the token in the text first,
/// which gives the same ids once the sentinel is expanded.
///
/// Throws: Error(kInvalidArgument) if the tokenizer lacks the image token, or if the text has
/// another number of image tokens than the ids, naming both.   Threads: safe. Source: transformers
/// `LlavaProcessor`, `LlavaNextProcessor`.
std::vector<int32_t> tokenize_with_image_token(const Tokenizer& tokenizer, std::string_view prompt,
                                               std::string_view image_token,
                                               const PromptOptions& options = {});

/// Number of times `token` stands in the prompt.
int32_t count_image_tokens(std::string_view prompt, std::string_view token);

}  // namespace llava::text
