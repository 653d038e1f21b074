// SPDX-License-Identifier: Apache-2.0
//
// The request of /v1/chat/completions: who said what, with which pictures, and how to answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "llava/serve/protocol/generation_fields.h"

namespace llava::serve {

/// A picture as a message names it.
struct ImageSource {
  std::string location;  ///< a data: or http(s) address, or base64 by itself
  std::string param;     ///< where it stands in the request, for messages
  bool is_low_detail = false;
  std::string file_id = {};  ///< of a file that was sent ahead, in place of `location`
  /// The picture's file, once it has been fetched or found.
  std::shared_ptr<const std::string> bytes = {};
};

/// A text, or where a picture is.
struct ContentPart {
  std::string text;
  int32_t image = -1;  ///< index in ChatRequest::images; -1: this is a text
};

struct ChatTurn {
  enum class Role : uint8_t { kSystem, kUser, kAssistant };
  Role role = Role::kUser;
  std::vector<ContentPart> parts;
};

struct ChatRequest {
  std::string model;  ///< empty: the only one
  std::vector<ChatTurn> turns;
  std::vector<ImageSource> images;
  GenerationFields generation;
  int32_t num_top_logprobs = -1;  ///< -1: no log-probabilities
  /// The last turn is the assistant's, to be continued.
  bool continues_last = false;
  std::string image_aspect_ratio;  ///< empty: as the model's configuration says
  std::vector<std::string> unknown_fields;
};

struct ChatLimits {
  GenerationLimits generation;
  int32_t max_images = 8;
  std::size_t max_messages = 4096;
  /// Tools that are offered are passed over: clients that offer some with every question, whether
  /// it needs them or not, are answered in words.
  bool ignores_tools = false;
};

/// Reads a parsed body. Turns of the same role that follow each other are joined by a newline, and
/// system turns stand first, as one.
///
/// Throws: ApiError naming the field.
ChatRequest read_chat_request(const OrderedJson& body, const ChatLimits& limits);

}  // namespace llava::serve
