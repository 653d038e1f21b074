// SPDX-License-Identifier: Apache-2.0
//
// Dialogue: the turns of one conversation and the prompt they make, by a named template or by the
// checkpoint's own.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/engine/pretrained.h"
#include "llava/text/conversation.h"

namespace llava::engine {

/// The template a conversation with this checkpoint uses: the one asked for, else the checkpoint's
/// own choice. Empty means the checkpoint's Jinja template.
///
/// Throws: Error(kInvalidArgument) for an unknown template name.
std::string choose_conv_mode(const Pretrained& pretrained, std::string_view asked_for);

/// The original's warning when the template asked for is not the one it would infer; empty
/// otherwise.
std::string conv_mode_warning(const Pretrained& pretrained, std::string_view asked_for);

/// Renders the checkpoint's Jinja template with the reply's slot open.
///
/// Throws: Error(kUnsupported) naming what the template needs and this program lacks.
std::string render_chat(const Pretrained& pretrained, std::span<const text::ChatMessage> messages);

/// Threads: one thread at a time.
class Dialogue {
 public:
  /// Keeps a reference to `pretrained`. `conv_mode` as choose_conv_mode returns it.
  Dialogue(const Pretrained& pretrained, std::string conv_mode);

  /// Adds a question about `num_new_pictures` pictures that this turn shows for the first time.
  ///
  /// Placeholders that the text has itself (`<image>` or `<image-placeholder>`) are kept; otherwise
  /// one for each picture is put in front, wrapped as the checkpoint wants it.
  /// Throws: Error(kInvalidArgument) naming both counts when the text's placeholders do not match.
  void ask(const std::string& text, int num_new_pictures);

  /// Stores the answer to the last question.
  void answer(std::string text);

  /// The prompt so far, with the reply's slot open.
  std::string prompt() const;

  /// Names of the two speakers as the original's terminal shows them.
  std::string user_role() const;
  std::string assistant_role() const;

  int num_turns() const { return static_cast<int>(turns_.size()); }
  const std::string& conv_mode() const { return conv_mode_; }

 private:
  struct Turn {
    bool is_user = true;
    std::string text;
    int num_pictures = 0;
  };

  std::string placeholders(int count) const;
  std::string jinja_prompt() const;
  std::string named_prompt() const;

  const Pretrained& pretrained_;
  std::string conv_mode_;
  const text::ConversationTemplate* conversation_ = nullptr;
  std::vector<Turn> turns_;
};

}  // namespace llava::engine
