// SPDX-License-Identifier: Apache-2.0
//
// The prompt that the original's web server would send for a chat.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "llava/serve/protocol/chat_request.h"

namespace llava::serve {

struct OriginalPrompt {
  std::string text;
  std::optional<std::string> stop;  ///< what the template ends an answer with
};

/// The name of the template that the original's web server chooses for a model.
std::string original_template_name(const std::string& model);

/// Renders a chat under the template that the original's web server chooses by the model's name.
/// Pictures stand in front of their turn's text. An `<image>` that somebody wrote is left out: it
/// would stand for a picture that is not there.
///
/// Throws: ApiError 400 for what the template cannot say.
/// Source: LLaVA 1.2.2 `llava/serve/gradio_web_server.py`, `llava/conversation.py`.
OriginalPrompt render_original_prompt(const ChatRequest& chat, std::string_view model);

}  // namespace llava::serve
