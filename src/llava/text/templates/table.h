// SPDX-License-Identifier: Apache-2.0
//
// The template table, one function and file for each group of relatives. A new template is one more
// entry here and a case in tests/data/text/conversations.json.
#pragma once

#include <vector>

#include "llava/text/conversation.h"

namespace llava::text::templates {

/// System texts that several templates share.
inline constexpr const char* kCuriousHuman =
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions.";
inline constexpr const char* kCuriousUser =
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions.";
inline constexpr const char* kLanguageAndVision =
    "You are a helpful language and vision assistant. You are able to understand the visual "
    "content "
    "that the user provides, and assist the user with a variety of tasks using natural language.";

/// "###" and Vicuna templates, with and without image tags, and the bare one of the first stage.
std::vector<ConversationTemplate> vicuna();
/// "[INST]" templates of Llama 2 and Mistral, and Llama 3.
std::vector<ConversationTemplate> llama();
/// Templates with <|im_start|>, <|im_end|> and their like.
std::vector<ConversationTemplate> chatml();
std::vector<ConversationTemplate> gemma();

/// All of them.
std::vector<ConversationTemplate> all();

}  // namespace llava::text::templates
