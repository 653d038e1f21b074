// SPDX-License-Identifier: Apache-2.0
//
// The request of /v1/attention: a chat that ends with the answer to look for.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "llava/engine/generation_request.h"
#include "llava/serve/protocol/chat_request.h"

namespace llava::serve {

struct AttentionRequest {
  /// Its last turn is the answer, to be continued.
  ChatRequest chat;
  int32_t layer = model::kAllLayers;
  /// Tokens [first, second) of the answer; none: all of them.
  std::optional<std::pair<int32_t, int32_t>> tokens;
  bool is_base64 = false;
};

/// Reads a parsed body, in which the chat is said to be continued. Fields that say how to answer
/// are read as in /v1/chat/completions and do nothing.
///
/// Throws: ApiError naming the field.
AttentionRequest read_attention_request(OrderedJson body, const ChatLimits& limits);

}  // namespace llava::serve
