// SPDX-License-Identifier: Apache-2.0
//
// Reads the histories of the template case files.
#pragma once

#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/text/conversation.h"

namespace llava::text {

/// The turns of one history: texts, null for an open turn, {image_key: text} for the tuple form.
inline std::vector<Message> messages_of(const ConversationTemplate& conversation, const Json& items,
                                        const char* image_key) {
  std::vector<Message> messages;
  for (const Json& item : items) {
    Message message{.role = conversation.roles[messages.size() % 2]};
    if (item.is_object()) {
      message.text = item.at(image_key).get<std::string>();
      message.num_images = 1;
    } else if (item.is_string()) {
      message.text = item.get<std::string>();
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace llava::text
