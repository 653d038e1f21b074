// SPDX-License-Identifier: Apache-2.0
#include "llava/data/dialogue.h"

#include <string>
#include <string_view>
#include <utility>

#include "llava/core/error.h"
#include "llava/text/prompt.h"
#include "llava/text/python_text.h"

namespace llava::data {
namespace {

using text::kImageToken;
using text::Message;
using text::SeparatorStyle;

constexpr std::string_view kUser = "human";
constexpr std::string_view kAssistant = "gpt";

// The placeholder goes to the front of its turn, once, on a line of its own.
std::string with_image_in_front(std::string_view value) {
  const std::string rest = text::replace_text(value, kImageToken, "");
  const std::string moved = std::string(kImageToken) + "\n" + std::string(text::strip_space(rest));
  return std::string(text::strip_space(moved));
}

std::string rewrite(std::string value, bool moves_image, const DialogueRules& rules) {
  if (value.find(kImageToken) == std::string::npos) return value;
  if (moves_image) value = with_image_in_front(value);
  std::string placeholder(kImageToken);
  if (rules.mm_use_im_start_end) placeholder = "<im_start>" + placeholder + "<im_end>";
  if (rules.conversation->version.find("mmtag") != std::string::npos) {
    placeholder = "<Image>" + placeholder + "</Image>";
  }
  return text::replace_text(value, kImageToken, placeholder);
}

std::string lower(std::string_view name) {
  std::string result(name);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

template <class... Args>
[[noreturn]] void refuse(DialogueFault fault, fmt::format_string<Args...> format, Args&&... args) {
  throw DialogueError(fault, fmt::format(format, std::forward<Args>(args)...));
}

class DialogueMaker {
 public:
  DialogueMaker(const Record& record, const DialogueRules& rules)
      : record_(record), rules_(rules) {}

  Dialogue run() {
    if (record_.has_image_key && !rules_.is_multimodal) {
      refuse(
          DialogueFault::kWrongForm,
          "{} has a picture, but the run has no --vision_tower: name one, or take the key 'image' "
          "out of the data",
          describe(record_));
    }
    dialogue_.has_images = record_.has_image_key;
    switch (rules_.conversation->style) {
      case SeparatorStyle::kPlain:
        make_plain();
        break;
      case SeparatorStyle::kSingle:
        make_single();
        break;
      default:
        make_alternating();
    }
    for (const Message& message : dialogue_.messages) {
      if (dialogue_.has_images) {
        dialogue_.num_placeholders += text::count_image_tokens(*message.text, kImageToken);
      }
    }
    return std::move(dialogue_);
  }

 private:
  std::string value_of(const Turn& turn) const {
    if (!record_.has_image_key) return turn.value;
    return rewrite(turn.value, /*moves_image=*/record_.images.size() == 1, rules_);
  }

  void add(const std::string& role, std::string value) {
    dialogue_.messages.push_back({.role = role, .text = std::move(value)});
  }

  // The written instruction is discarded; the placeholder alone stands for it.
  void make_plain() {
    const auto& turns = record_.conversations;
    if (turns.size() != 2) {
      refuse(DialogueFault::kWrongForm,
             "{} has {} turns, expected two for --version plain: a picture and its caption",
             describe(record_), turns.size());
    }
    if (!record_.has_image_key || turns[0].value.find(kImageToken) == std::string::npos) {
      refuse(DialogueFault::kWrongForm,
             "{} has no {}, expected a picture for --version plain: leave the sample out or train "
             "with a chat template",
             describe(record_), record_.has_image_key ? "<image> in its first turn" : "'image'");
    }
    add(rules_.conversation->roles[0], std::string(kImageToken));
    add(rules_.conversation->roles[1], value_of(turns[1]));
  }

  // Roles in any case; only "human", letter for letter, is not trained.
  void make_single() {
    for (const Turn& turn : record_.conversations) {
      const std::string name = lower(turn.from);
      if (turn.from != kUser) dialogue_.trained_turns.push_back(dialogue_.messages.size());
      add(name == kUser        ? rules_.conversation->roles[0]
          : name == kAssistant ? rules_.conversation->roles[1]
                               : "unknown",
          value_of(turn));
    }
  }

  bool is_user(std::size_t turn) const {
    const std::string& from = record_.conversations[turn].from;
    if (from == kUser) return true;
    if (from == kAssistant) return false;
    refuse(DialogueFault::kUnknownSpeaker, "{}: turn {} is from '{}', expected 'human' or 'gpt'",
           describe(record_), turn, from);
  }

  void make_alternating() {
    const auto& turns = record_.conversations;
    const std::size_t first = is_user(0) ? 0 : 1;
    if (first == turns.size()) {
      refuse(DialogueFault::kNoAlternation, "{} has no turn of 'human', expected one first",
             describe(record_));
    }
    for (std::size_t i = first; i < turns.size(); ++i) {
      const bool expects_user = (i - first) % 2 == 0;
      if (is_user(i) != expects_user) {
        refuse(DialogueFault::kNoAlternation,
               "{}: turn {} is from '{}', expected '{}': human and gpt must take turns",
               describe(record_), i, turns[i].from, expects_user ? kUser : kAssistant);
      }
      add(rules_.conversation->roles[expects_user ? 0 : 1], value_of(turns[i]));
    }
  }

  const Record& record_;
  const DialogueRules& rules_;
  Dialogue dialogue_;
};

}  // namespace

Dialogue make_dialogue(const Record& record, const DialogueRules& rules) {
  return DialogueMaker(record, rules).run();
}

void check_placeholders(const Record& record, const Dialogue& dialogue, bool may_have_none) {
  const auto num_images = static_cast<int32_t>(record.images.size());
  if (dialogue.num_placeholders == num_images) return;
  if (may_have_none && dialogue.num_placeholders == 0) return;
  fail(ErrorCode::kInvalidArgument,
       "{} has {} pictures but {} {} for them, expected as many: each picture needs one <image> in "
       "the text",
       describe(record), num_images, dialogue.num_placeholders,
       dialogue.num_placeholders == 1 ? "<image> turn" : "<image> turns");
}

}  // namespace llava::data
