// SPDX-License-Identifier: Apache-2.0
#include "llava/text/conversation.h"

#include <algorithm>

#include "llava/core/config.h"
#include "llava/core/error.h"
#include "llava/text/python_text.h"
#include "llava/text/templates/table.h"

namespace llava::text {
namespace {

// A turn after the image pre-step.
struct Turn {
  std::string_view role;
  std::string text;  // empty: open

  bool is_open() const { return text.empty(); }
};

bool prefixes_every_image(SeparatorStyle style) {
  return style == SeparatorStyle::kChatml || style == SeparatorStyle::kLlama3;
}

std::string with_images(const Message& message) {
  std::string text;
  for (int32_t i = 0; i < message.num_images; ++i) text += kImageToken;
  return text + *message.text;
}

Turn turn_of(const ConversationTemplate& conversation, const Message& message) {
  if (!message.text || message.text->empty()) return {message.role, ""};
  const bool has_prefix = prefixes_every_image(conversation.style) && message.num_images > 0;
  return {message.role, has_prefix ? with_images(message) : *message.text};
}

// A first message with picture objects is rewritten: "<image>\n" and its text, or the pair of tag
// turns of the mmtag templates.
void append_first_with_images(const ConversationTemplate& conversation, const Message& message,
                              std::vector<Turn>& turns) {
  const std::string text(strip_space(replace_text(message.text.value_or(""), kImageToken, "")));
  if (conversation.version.find("mmtag") != std::string::npos) {
    turns.push_back({conversation.roles[0], "<Image><image></Image>"});
    turns.push_back({conversation.roles[1], "Received."});
    turns.push_back({message.role, text});
  } else if (prefixes_every_image(conversation.style) && message.num_images > 1) {
    turns.push_back(turn_of(conversation, message));
  } else {
    turns.push_back({message.role, std::string(kImageToken) + "\n" + text});
  }
}

std::vector<Turn> turns_of(const ConversationTemplate& conversation,
                           std::span<const Message> messages) {
  std::vector<Turn> turns;
  for (const Message& example : conversation.examples) {
    turns.push_back(turn_of(conversation, example));
  }
  for (const Message& message : messages) {
    if (turns.empty() && message.num_images > 0) {
      append_first_with_images(conversation, message, turns);
    } else {
      turns.push_back(turn_of(conversation, message));
    }
  }
  return turns;
}

std::string render_single(const ConversationTemplate& c, const std::vector<Turn>& turns) {
  std::string out = c.system + c.sep;
  for (const Turn& turn : turns) {
    out += turn.role;
    out += turn.is_open() ? ":" : ": " + turn.text + c.sep;
  }
  return out;
}

std::string render_two(const ConversationTemplate& c, const std::vector<Turn>& turns) {
  std::string out = c.system + c.sep;
  for (size_t i = 0; i < turns.size(); ++i) {
    out += turns[i].role;
    out += turns[i].is_open() ? ":" : ": " + turns[i].text + (i % 2 == 0 ? c.sep : *c.sep2);
  }
  return out;
}

std::string render_mpt(const ConversationTemplate& c, const std::vector<Turn>& turns) {
  std::string out = c.system + c.sep;
  for (const Turn& turn : turns) {
    out += turn.role;
    if (!turn.is_open()) out += turn.text + c.sep;
  }
  return out;
}

std::string render_llama_2(const ConversationTemplate& c, const std::vector<Turn>& turns) {
  if (!turns.empty() && turns[0].is_open()) {
    fail(ErrorCode::kInvalidArgument, "template '{}': first message should not be none", c.name());
  }
  if (!turns.empty() && turns[0].role != c.roles[0]) {
    fail(ErrorCode::kInvalidArgument,
         "template '{}': first message should come from user: found role '{}', expected '{}'",
         c.name(), turns[0].role, c.roles[0]);
  }
  std::string out;
  for (size_t i = 0; i < turns.size(); ++i) {
    if (turns[i].is_open()) continue;
    if (i % 2 == 1) {
      out += " " + turns[i].text + " " + *c.sep2;
      continue;
    }
    out += c.sep + "[INST] ";
    if (i == 0 && !c.system.empty()) out += "<<SYS>>\n" + c.system + "\n<</SYS>>\n\n";
    out += turns[i].text + " [/INST]";
  }
  // The original strips the *characters* of the separator, not the separator.
  return std::string(strip_characters(out, c.sep, StripSide::kLeft));
}

std::string render_plain(const ConversationTemplate& c, const std::vector<Turn>& turns) {
  std::string out = c.system;
  for (size_t i = 0; i < turns.size(); ++i) {
    if (turns[i].is_open()) continue;
    if (i % 2 == 1 && !c.sep2) {
      fail(ErrorCode::kInvalidArgument,
           "template '{}' has no second separator: message {} must be open (the original stops "
           "with: "
           "can only concatenate str (not \"NoneType\") to str)",
           c.name(), i);
    }
    out += turns[i].text + (i % 2 == 0 ? c.sep : *c.sep2);
  }
  return out;
}

std::string render_chatml(const ConversationTemplate& c, const std::vector<Turn>& turns) {
  std::string out = c.system.empty() ? "" : c.system + c.sep + "\n";
  for (const Turn& turn : turns) {
    out += turn.role;
    out += "\n";
    if (!turn.is_open()) out += turn.text + c.sep + "\n";
  }
  return out;
}

// The published template of Llama-3-Instruct, written out. The generation header is left away after
// a finished answer, where the family's program appends one all the same.
std::string render_llama_3(const ConversationTemplate& c, const std::vector<Turn>& turns) {
  const auto header = [](std::string_view role) {
    return "<|start_header_id|>" + std::string(role) + "<|end_header_id|>\n\n";
  };
  std::string out = "<|begin_of_text|>";
  const auto add = [&](std::string_view role, std::string_view text) {
    out += header(role);
    out += strip_space(text);
    out += c.sep;
  };
  if (!c.system.empty()) add("system", c.system);
  for (const Turn& turn : turns) {
    if (!turn.is_open()) add(turn.role, turn.text);
  }
  const bool is_answered =
      !turns.empty() && !turns.back().is_open() && turns.back().role == c.roles[1];
  if (!is_answered) out += header(c.roles[1]);
  return out;
}

std::string render_gemma(const ConversationTemplate& c, const std::vector<Turn>& turns) {
  std::string out;
  for (size_t i = 0; i < turns.size(); ++i) {
    if (turns[i].role != c.roles[i % 2]) {
      fail(
          ErrorCode::kInvalidArgument,
          "template '{}': Conversation should alternate user/assistant/user/assistant/...: message "
          "{} has another role",
          c.name(), i);
    }
    out += turns[i].role;
    if (!turns[i].is_open()) out += turns[i].text + c.sep;
  }
  return out;
}

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::span<const ConversationTemplate> conversation_templates() {
  static const std::vector<ConversationTemplate> table = templates::all();
  return table;
}

const ConversationTemplate& find_conversation_template(std::string_view name) {
  std::vector<std::string> known;
  for (const ConversationTemplate& conversation : conversation_templates()) {
    for (const std::string& own : conversation.names) {
      if (own == name) return conversation;
      known.push_back(own);
    }
  }
  const std::optional<std::string> nearest = nearest_name(name, known);
  fail(ErrorCode::kInvalidArgument, "unknown conversation template '{}'{}; known templates: {}",
       name, nearest ? fmt::format(", did you mean '{}'?", *nearest) : "", fmt::join(known, ", "));
}

std::string render_conversation(const ConversationTemplate& conversation,
                                std::span<const Message> messages) {
  const std::vector<Turn> turns = turns_of(conversation, messages);
  switch (conversation.style) {
    case SeparatorStyle::kSingle:
      return render_single(conversation, turns);
    case SeparatorStyle::kTwo:
      return render_two(conversation, turns);
    case SeparatorStyle::kMpt:
      return render_mpt(conversation, turns);
    case SeparatorStyle::kLlama2:
      return render_llama_2(conversation, turns);
    case SeparatorStyle::kPlain:
      return render_plain(conversation, turns);
    case SeparatorStyle::kChatml:
      return render_chatml(conversation, turns);
    case SeparatorStyle::kLlama3:
      return render_llama_3(conversation, turns);
    case SeparatorStyle::kGemma:
      return render_gemma(conversation, turns);
  }
  fail(ErrorCode::kInternal, "Invalid style: {}", static_cast<int>(conversation.style));
}

std::string resolve_role(const ConversationTemplate& conversation, std::string_view role) {
  if (role == conversation.roles[0] || role == conversation.roles[1]) return std::string(role);
  const std::string lower = ascii_lower(role);
  if (lower == "user" || lower == "human") return conversation.roles[0];
  if (lower == "assistant" || lower == "gpt") return conversation.roles[1];
  return std::string(role);
}

std::optional<std::string> stop_string(const ConversationTemplate& conversation) {
  switch (conversation.style) {
    case SeparatorStyle::kTwo:
    case SeparatorStyle::kLlama2:
      return conversation.sep2;
    case SeparatorStyle::kGemma:
      return "<end_of_turn>";
    default:
      if (conversation.sep.empty()) return std::nullopt;
      return conversation.sep;
  }
}

}  // namespace llava::text
