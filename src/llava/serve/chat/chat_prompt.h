// SPDX-License-Identifier: Apache-2.0
//
// From the messages of a chat to the ids that the model answers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/engine/pretrained.h"
#include "llava/serve/protocol/chat_request.h"

namespace llava::serve {

/// Where pictures stand in a user's turn: all in front, as LLaVA-1.5 and 1.6 were trained, or where
/// the message has them.
enum class ImageOrder : uint8_t { kFirst, kPreserve };

/// The text of a chat under a named template, or with an empty `conv_mode` under the checkpoint's
/// own. Everything that the client wrote is guarded (text/token_guard.h), so that it makes neither
/// pictures nor special tokens.
///
/// Throws: Error(kInvalidArgument) where the template refuses the turns.
std::string render_chat_request(const engine::Pretrained& pretrained, const std::string& conv_mode,
                                const ChatRequest& request, ImageOrder order);

/// Ids of that text, with text::kImageSentinel for each picture.
std::vector<int32_t> tokenize_chat_request(const engine::Pretrained& pretrained,
                                           const std::string& conv_mode, const ChatRequest& request,
                                           ImageOrder order);

}  // namespace llava::serve
