// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/dialogue.h"

#include "llava/core/error.h"
#include "llava/engine/checkpoint_text.h"

namespace llava::engine {
namespace {

constexpr std::string_view kQueryPlaceholder = "<image-placeholder>";
constexpr std::string_view kImageStart = "<im_start>";
constexpr std::string_view kImageEnd = "<im_end>";

int count_of(std::string_view text, std::string_view what) {
  int count = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos;
       at = text.find(what, at + what.size())) {
    ++count;
  }
  return count;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

}  // namespace

std::string choose_conv_mode(const Pretrained& pretrained, std::string_view asked_for) {
  if (asked_for.empty()) return pretrained.conv_mode;
  text::find_conversation_template(asked_for);
  return std::string(asked_for);
}

std::string conv_mode_warning(const Pretrained& pretrained, std::string_view asked_for) {
  if (asked_for.empty() || pretrained.conv_mode.empty() || asked_for == pretrained.conv_mode) {
    return {};
  }
  return fmt::format(
      "[WARNING] the auto inferred conversation mode is {}, while `--conv-mode` is {}, using {}",
      pretrained.conv_mode, asked_for, asked_for);
}

std::string render_chat(const Pretrained& pretrained, std::span<const text::ChatMessage> messages) {
  if (!pretrained.chat_template) {
    fail(ErrorCode::kInvalidArgument,
         "model '{}' has no chat template of its own: choose a conversation template with "
         "--conv-mode",
         pretrained.name);
  }
  return render_chat(*pretrained.tokenizer, *pretrained.chat_template, messages,
                     /*begins_answer=*/true);
}

Dialogue::Dialogue(const Pretrained& pretrained, std::string conv_mode)
    : pretrained_(pretrained), conv_mode_(std::move(conv_mode)) {
  if (!conv_mode_.empty()) conversation_ = &text::find_conversation_template(conv_mode_);
}

std::string Dialogue::placeholders(int count) const {
  std::string one(text::kImageToken);
  if (pretrained_.description.use_im_start_end) {
    one = std::string(kImageStart) + one + std::string(kImageEnd);
  }
  std::string all;
  for (int i = 0; i < count; ++i) all += one + "\n";
  return all;
}

void Dialogue::ask(const std::string& text, int num_new_pictures) {
  std::string one = placeholders(1);
  one.pop_back();  // the newline
  Turn turn{.is_user = true, .text = replaced(text, kQueryPlaceholder, one)};
  const int given = count_of(turn.text, text::kImageToken);
  if (given > 0 && given != num_new_pictures) {
    fail(ErrorCode::kInvalidArgument,
         "the question has {} `<image>` placeholders for {} {}: write one for each, or none", given,
         num_new_pictures, num_new_pictures == 1 ? "picture" : "pictures");
  }
  if (given == 0 && conversation_ != nullptr) {
    turn.text = placeholders(num_new_pictures) + turn.text;
  } else if (given == 0) {
    turn.num_pictures = num_new_pictures;
  }
  turns_.push_back(std::move(turn));
}

void Dialogue::answer(std::string text) {
  turns_.push_back({.is_user = false, .text = std::move(text)});
}

std::string Dialogue::prompt() const {
  return conversation_ == nullptr ? jinja_prompt() : named_prompt();
}

std::string Dialogue::named_prompt() const {
  std::vector<text::Message> messages;
  for (const Turn& turn : turns_) {
    messages.push_back({.role = conversation_->roles[turn.is_user ? 0 : 1], .text = turn.text});
  }
  messages.push_back({.role = conversation_->roles[1], .text = {}});
  return text::render_conversation(*conversation_, messages);
}

std::string Dialogue::jinja_prompt() const {
  std::vector<text::ChatMessage> messages;
  for (const Turn& turn : turns_) {
    messages.push_back({.role = turn.is_user ? "user" : "assistant",
                        .text = turn.text,
                        .num_images = turn.num_pictures});
  }
  return render_chat(pretrained_, messages);
}

std::string Dialogue::user_role() const {
  if (conversation_ == nullptr) return "USER";
  return pretrained_.name.find("mpt") != std::string::npos ? "user" : conversation_->roles[0];
}

std::string Dialogue::assistant_role() const {
  if (conversation_ == nullptr) return "ASSISTANT";
  return pretrained_.name.find("mpt") != std::string::npos ? "assistant" : conversation_->roles[1];
}

}  // namespace llava::engine
