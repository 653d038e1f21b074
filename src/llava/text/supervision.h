// SPDX-License-Identifier: Apache-2.0
//
// Which tokens of a dialogue are trained: ids and labels as the original's preprocessing makes them
// for each style of template.
#pragma once

#include <cstdint>
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

/// Ids and labels of a finished dialogue.
///
/// Follows the original's arithmetic, which counts the tokens of parts of the text, with its
/// consequences: an answer that contains the separator or the assistant's marker is not trained.
/// Throws: Error(kInvalidArgument) where the original stops on an assertion.   Threads: safe.
/// Source: LLaVA 1.2.2 `llava/train/train.py`, preprocess_v1, _llama_2, _mpt, _plain and
/// preprocess.
SupervisedSequence supervise(const Tokenizer& tokenizer, const ConversationTemplate& conversation,
                             std::span<const Message> messages);

}  // namespace llava::text
