// SPDX-License-Identifier: Apache-2.0
//
// Which tokens of a dialogue are trained, decided by where the answers stand in the text: what the
// original's arithmetic (supervision.h) means, for every tokenizer and every dialogue.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "llava/text/supervision.h"
#include "llava/text/token_offsets.h"

namespace llava::text {

/// A dialogue as text, with the bytes that are to be learned: every answer and what ends it.
struct SupervisedText {
  std::string text;
  std::vector<ByteRange> answers;  ///< in order, none empty
};

/// Renders a finished dialogue and finds its answers. A plain dialogue (a picture and its caption)
/// is the placeholder and the caption, as in training.
///
/// Throws: as render_conversation; Error(kInvalidArgument) for a plain dialogue of other than two
/// turns.   Threads: safe.
SupervisedText render_supervised(const ConversationTemplate& conversation,
                                 std::span<const Message> messages);

/// Ids and labels of a finished dialogue: a token is trained if it has a byte of an answer. The ids
/// are those of `supervise`, the labels as well wherever it does not warn; there is never a
/// warning. The text is tokenized once.
///
/// Templates of style kSingle keep the arithmetic, which is their only published rule.
/// Throws: as render_supervised.   Threads: safe.
SupervisedSequence supervise_spans(const Tokenizer& tokenizer,
                                   const ConversationTemplate& conversation,
                                   std::span<const Message> messages,
                                   const SupervisionOptions& options = {});

}  // namespace llava::text
