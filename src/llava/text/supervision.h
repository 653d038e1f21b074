// SPDX-License-Identifier: Apache-2.0
//
// Which tokens of a dialogue are trained: ids and labels as the original's preprocessing makes them
// for each style of template.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llava/text/conversation.h"
#include "llava/text/tokenizer.h"

namespace llava::text {

/// Label of a position that is not trained.
inline constexpr int32_t kIgnoreLabel = -100;

/// One dialogue, tokenized for training.
struct SupervisedSequence {
  std::vector<int32_t> ids;     ///< kImageSentinel stands for each picture
  std::vector<int32_t> labels;  ///< the id where it is trained, else kIgnoreLabel
  /// The original's warning when its length arithmetic does not add up; all labels are then
  /// kIgnoreLabel. Empty otherwise.
  std::string warning;
};

/// What a dialogue's labels depend on besides its text.
struct SupervisionOptions {
  /// Each `<image>` is a picture. Without: ordinary text, and the ids are cut at `max_length`.
  bool has_images = true;
  /// The original's model_max_length. Its arithmetic is not checked where it reaches beyond.
  int64_t max_length = INT64_MAX;
  /// The id that pads batches, which the original does not count in a text either. Unset: the
  /// unknown token's, else the tokenizer's own.
  std::optional<int32_t> pad_id = {};
  /// Turns of a template of style kSingle whose text is trained although they are the user's: the
  /// original does so when the role is not written "human" letter for letter.
  std::vector<std::size_t> trained_turns = {};
};

/// Ids and labels of a finished dialogue.
///
/// Follows the original's arithmetic, which counts the tokens of parts of the text, with its
/// consequences: an answer that contains the separator or the assistant's marker is not trained.
/// Throws: Error(kInvalidArgument) where the original stops on an assertion.   Threads: safe.
/// Source: LLaVA 1.2.2 `llava/train/train.py`, preprocess_v1, _llama_2, _mpt, _plain and
/// preprocess.
SupervisedSequence supervise(const Tokenizer& tokenizer, const ConversationTemplate& conversation,
                             std::span<const Message> messages,
                             const SupervisionOptions& options = {});

}  // namespace llava::text
