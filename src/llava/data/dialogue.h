// SPDX-License-Identifier: Apache-2.0
//
// From a record to the messages of a template: who says what, and where the placeholders of the
// pictures stand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/data/record.h"
#include "llava/text/conversation.h"

namespace llava::data {

/// Why a record is no dialogue for a template.
enum class DialogueFault : uint8_t {
  kUnknownSpeaker,  ///< neither "human" nor "gpt"
  kNoAlternation,   ///< the two do not take turns
  kWrongForm,       ///< not what --version plain, or a run without a vision tower, can use
};

/// The Error(kInvalidArgument) of make_dialogue.
class DialogueError : public Error {
 public:
  DialogueError(DialogueFault fault, const std::string& message)
      : Error(ErrorCode::kInvalidArgument, message), fault_(fault) {}

  DialogueFault fault() const noexcept { return fault_; }

 private:
  DialogueFault fault_;
};

/// How turns are rewritten.
struct DialogueRules {
  const text::ConversationTemplate* conversation = nullptr;
  bool is_multimodal = true;         ///< the run has a vision tower
  bool mm_use_im_start_end = false;  ///< "<im_start>" and "<im_end>" around each placeholder
};

/// A record's turns as messages.
struct Dialogue {
  std::vector<text::Message> messages;
  /// `<image>` stands for pictures; in a record without them it is ordinary text.
  bool has_images = false;
  int32_t num_placeholders = 0;  ///< as many pictures as the messages ask for
  /// text::SupervisionOptions::trained_turns
  std::vector<std::size_t> trained_turns;
};

/// Messages of a record, as the original prepares them: a first turn that is not the user's is
/// dropped, and of a record with one picture each turn with `<image>` gets it moved to its front,
/// once. Of a record with several pictures (an extension) every placeholder stays where it is.
///
/// Throws: DialogueError naming the record and the turn for a speaker other than "human"
/// and "gpt", for turns that do not alternate, for a plain dialogue that is not a picture and its
/// caption, and for a picture in a run without a vision tower.   Threads: safe.
/// Source: LLaVA 1.2.2 `llava/train/train.py`, preprocess_multimodal and the heads of preprocess_*.
Dialogue make_dialogue(const Record& record, const DialogueRules& rules);

/// Checks that a dialogue has one placeholder for each picture of its record. `may_have_none`
/// permits a record whose placeholder is missing altogether, as the original does.
///
/// Throws: Error(kInvalidArgument) naming the record and both counts.
void check_placeholders(const Record& record, const Dialogue& dialogue, bool may_have_none);

}  // namespace llava::data
