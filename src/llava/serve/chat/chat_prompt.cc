// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/chat/chat_prompt.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/engine/checkpoint_text.h"
#include "llava/engine/prompt_images.h"
#include "llava/text/conversation.h"
#include "llava/text/token_guard.h"

namespace llava::serve {
namespace {

using Role = ChatTurn::Role;
using text::ConversationTemplate;
using text::SeparatorStyle;

class ChatRenderer {
 public:
  ChatRenderer(const engine::Pretrained& pretrained, const std::string& conv_mode,
               const ChatRequest& request, ImageOrder order)
      : pretrained_(pretrained), conv_mode_(conv_mode), request_(request), order_(order) {}

  std::string render() const {
    std::string prompt = conv_mode_.empty() ? render_own() : render_named();
    if (!request_.continues_last) return prompt;
    // What the template puts behind a finished answer is not there yet.
    const std::string last = text_of(request_.turns.back());
    const std::size_t at = prompt.rfind(last);
    if (at == std::string::npos) {
      fail(ErrorCode::kInvalidArgument,
           "continue_final_message: the model's template changes the last message");
    }
    prompt.resize(at + last.size());
    return prompt;
  }

 private:
  std::string placeholder() const {
    return pretrained_.description.use_im_start_end ? "<im_start><image><im_end>" : "<image>";
  }

  std::string guarded(const std::string& written) const {
    return text::guard_tokens(*pretrained_.tokenizer, written);
  }

  /// With `has_images` false, pictures that would stand in front are left to the template.
  std::string text_of(const ChatTurn& turn, bool has_images = true) const {
    std::string front;
    std::string rest;
    for (const ContentPart& part : turn.parts) {
      if (part.image < 0) {
        rest += guarded(part.text);
      } else if (order_ == ImageOrder::kPreserve) {
        rest += placeholder();
      } else if (has_images) {
        front += placeholder() + "\n";
      }
    }
    return front + rest;
  }

  std::string render_own() const {
    std::vector<text::ChatMessage> messages;
    for (const ChatTurn& turn : request_.turns) {
      text::ChatMessage message{.role = turn.role == Role::kSystem ? "system"
                                        : turn.role == Role::kUser ? "user"
                                                                   : "assistant",
                                .text = text_of(turn, /*has_images=*/false),
                                .num_images = 0};
      if (order_ == ImageOrder::kFirst) {
        for (const ContentPart& part : turn.parts) message.num_images += part.image >= 0 ? 1 : 0;
      }
      messages.push_back(std::move(message));
    }
    if (!pretrained_.chat_template) {
      fail(ErrorCode::kInvalidArgument, "model '{}' has no chat template: start with --conv-mode",
           pretrained_.name);
    }
    return engine::render_chat(*pretrained_.tokenizer, *pretrained_.chat_template, messages,
                               /*begins_answer=*/!request_.continues_last);
  }

  std::string render_named() const {
    ConversationTemplate conversation = text::find_conversation_template(conv_mode_);
    std::vector<text::Message> messages;
    std::string system_in_front;
    for (const ChatTurn& turn : request_.turns) {
      if (turn.role == Role::kSystem) {
        system_in_front = set_system(conversation, text_of(turn));
        continue;
      }
      messages.push_back({.role = conversation.roles[turn.role == Role::kUser ? 0 : 1],
                          .text = std::exchange(system_in_front, {}) + text_of(turn)});
    }
    if (!request_.continues_last) {
      messages.push_back({.role = conversation.roles[1], .text = {}});
    }
    return text::render_conversation(conversation, messages);
  }

  /// Puts the client's system text in the place of the template's; the text to put before the first
  /// turn where the template has no such place.
  static std::string set_system(ConversationTemplate& conversation, std::string system) {
    switch (conversation.style) {
      case SeparatorStyle::kMpt:
      case SeparatorStyle::kChatml: {
        // The line that opens the system's turn stays.
        const std::size_t line = conversation.system.find('\n');
        conversation.system.resize(line == std::string::npos ? 0 : line + 1);
        conversation.system += system;
        return {};
      }
      case SeparatorStyle::kGemma:
      case SeparatorStyle::kPlain:
        return system + "\n\n";
      default:
        conversation.system = std::move(system);
        return {};
    }
  }

  const engine::Pretrained& pretrained_;
  const std::string& conv_mode_;
  const ChatRequest& request_;
  ImageOrder order_;
};

}  // namespace

std::string render_chat_request(const engine::Pretrained& pretrained, const std::string& conv_mode,
                                const ChatRequest& request, ImageOrder order) {
  return ChatRenderer(pretrained, conv_mode, request, order).render();
}

std::vector<int32_t> tokenize_chat_request(const engine::Pretrained& pretrained,
                                           const std::string& conv_mode, const ChatRequest& request,
                                           ImageOrder order) {
  return engine::tokenize_guarded_prompt(
      pretrained, render_chat_request(pretrained, conv_mode, request, order));
}

}  // namespace llava::serve
