// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/original_prompt.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/text/choose_template.h"
#include "llava/text/conversation.h"

namespace llava::serve {
namespace {

using Role = ChatTurn::Role;
using text::ConversationTemplate;

/// The original's rule, which names two templates that it does not have.
std::string template_name_of(std::string_view model) {
  std::string lower(model);
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  const auto has = [&](std::string_view part) { return lower.find(part) != std::string::npos; };
  if (has("llava") && has("orca") && (has("mistral") || has("mixtral")) && !has("llama-2")) {
    return "chatml_direct";
  }
  if (!has("llava") && has("mpt")) return "mpt";
  return std::string(text::template_for_web(model));
}

std::string without_image_tokens(std::string_view written) {
  std::string result(written);
  // Again, because what stands around a removed one may make another.
  for (std::size_t at = result.find(text::kImageToken); at != std::string::npos;
       at = result.find(text::kImageToken)) {
    result.erase(at, text::kImageToken.size());
  }
  return result;
}

std::string trimmed(const std::string& text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

class PromptRenderer {
 public:
  explicit PromptRenderer(std::string_view model)
      : conversation_(text::find_conversation_template(template_name_of(model))),
        has_image_tags_(conversation_.version.find("mmtag") != std::string::npos) {}

  void add(const ChatTurn& turn) {
    std::string words;
    int32_t num_images = 0;
    for (const ContentPart& part : turn.parts) {
      if (part.image >= 0) {
        ++num_images;
      } else {
        words += without_image_tokens(part.text);
      }
    }
    if (turn.role == Role::kSystem) return set_system(std::move(words));
    if (turn.role == Role::kAssistant) return add_message(1, std::move(words));
    if (num_images > 0) words = trimmed(words);
    if (has_image_tags_) {
      for (int32_t i = 0; i < num_images; ++i) {
        add_message(0, "<Image><image></Image>");
        add_message(1, "Received.");
      }
    } else {
      for (int32_t i = 0; i < num_images; ++i) words.insert(0, "<image>\n");
    }
    add_message(0, std::move(words));
  }

  OriginalPrompt render() {
    messages_.push_back({.role = conversation_.roles[1], .text = {}});
    try {
      return {.text = text::render_conversation(conversation_, messages_),
              .stop = text::stop_string(conversation_)};
    } catch (const Error& error) {
      throw ApiError(400, "invalid_value", error.what(), "messages");
    }
  }

 private:
  void add_message(std::size_t role, std::string text) {
    messages_.push_back({.role = conversation_.roles.at(role), .text = std::move(text)});
  }

  void set_system(std::string system) {
    if (conversation_.style != text::SeparatorStyle::kMpt) {
      conversation_.system = std::move(system);
      return;
    }
    // The line that opens the system's turn stays.
    conversation_.system.resize(conversation_.system.find('\n') + 1);
    conversation_.system += system;
  }

  ConversationTemplate conversation_;
  bool has_image_tags_;
  std::vector<text::Message> messages_;
};

}  // namespace

std::string original_template_name(const std::string& model) { return template_name_of(model); }

OriginalPrompt render_original_prompt(const ChatRequest& chat, std::string_view model) {
  if (chat.continues_last) {
    throw ApiError(400, "unsupported_parameter",
                   "continue_final_message: the worker of this model speaks the original's "
                   "protocol, which cannot continue an answer",
                   "continue_final_message");
  }
  PromptRenderer renderer(model);
  for (const ChatTurn& turn : chat.turns) renderer.add(turn);
  return renderer.render();
}

}  // namespace llava::serve
