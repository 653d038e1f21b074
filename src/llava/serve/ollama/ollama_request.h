// SPDX-License-Identifier: Apache-2.0
//
// Ollama's requests as chats and completions of ours.
#pragma once

#include <string>
#include <variant>

#include "llava/serve/protocol/chat_request.h"
#include "llava/serve/protocol/completion_request.h"

namespace llava::serve {

/// A request of /api/chat or /api/generate; `generate` with "raw" is a completion.
struct OllamaRequest {
  std::variant<ChatRequest, CompletionRequest> request;
  std::string model;  ///< as it was named, for the answer
  bool is_streamed = true;
  /// No text at all: a client that loads the model ahead of time.
  bool is_empty = false;
};

/// Reads a parsed body. A name's tag (":latest") is left out.
///
/// Throws: ApiError naming the field.
OllamaRequest read_ollama_chat(const OrderedJson& body, const ChatLimits& limits);
OllamaRequest read_ollama_generate(const OrderedJson& body, const ChatLimits& limits);

}  // namespace llava::serve
