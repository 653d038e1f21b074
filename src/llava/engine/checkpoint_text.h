// SPDX-License-Identifier: Apache-2.0
//
// How a checkpoint reads and writes text: tokenizer, templates, name; without its weights.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/engine/checkpoint_place.h"
#include "llava/text/chat_template.h"
#include "llava/text/prompt.h"
#include "llava/text/tokenizer.h"

namespace llava::engine {

struct CheckpointText {
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  /// Conversation template in use when none is asked for; empty: the Jinja template.
  std::string conv_mode;
  /// What stands for a picture in the vocabulary; Hugging Face layout.
  std::optional<int32_t> image_token_id;
};

/// Opens the tokenizer of a checkpoint (that of its base for LoRA and projector-only ones) in the
/// form the published software uses, adds the image tokens its configuration asks for, and chooses
/// the template: the configuration's own, the checkpoint's Jinja template in the Hugging Face
/// layout and for GGUF files, else by the original's rule from the name, which is logged.
///
/// Throws: Error(kNotFound), Error(kBadFormat), Error(kUnsupported) naming the file.
CheckpointText read_checkpoint_text(const CheckpointPlace& place);

/// Ids of a prompt with text::kImageSentinel for each picture: where the vocabulary has a token for
/// pictures (`image_token_id`), that token's; else the prompt is cut at each `<image>`.
///
/// Throws: Error(kInvalidArgument) when the tokenizer does not keep the picture's token whole; what
/// check_image_token throws.
std::vector<int32_t> tokenize_prompt(const text::Tokenizer& tokenizer,
                                     std::optional<int32_t> image_token_id,
                                     const std::string& prompt, const text::PromptOptions& options);

/// Throws: Error(kBadFormat) when the vocabulary has no token of this id.
void check_image_token(const text::Tokenizer& tokenizer, int32_t image_token_id);

/// The prompt that a checkpoint's own template makes of messages, with the tokenizer's special
/// tokens by their names; `begins_answer` opens the reply for the model to complete.
///
/// Throws: what text::ChatTemplate::render throws.
std::string render_chat(const text::Tokenizer& tokenizer, const text::ChatTemplate& chat_template,
                        std::span<const text::ChatMessage> messages, bool begins_answer);

/// What `llava tokenize` asks for: a checkpoint, or a bare tokenizer file.
struct TextRequest {
  std::string model_path;
  std::string model_base;
  std::string model_name;

  template <class V>
  void describe(V& v) {
    v.field(
        "model-path", model_path,
        "checkpoint, or a bare tokenizer.json or tokenizer.model; without it the bundled model");
    v.field("model-base", model_base, "base of a LoRA or projector-only checkpoint");
    v.field("model-name", model_name, "name to choose the template by");
  }
};

CheckpointText open_checkpoint_text(const TextRequest& request);

}  // namespace llava::engine
