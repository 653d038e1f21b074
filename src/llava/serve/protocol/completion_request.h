// SPDX-License-Identifier: Apache-2.0
//
// The request of /v1/completions: finished prompts, as text or as ids.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "llava/serve/protocol/chat_request.h"

namespace llava::serve {

struct CompletionRequest {
  std::string model;
  /// Texts, in which `<image>` stands for a picture, or ids of texts without pictures.
  std::vector<std::variant<std::string, std::vector<int32_t>>> prompts;
  /// Those of every prompt.
  std::vector<ImageSource> images;
  GenerationFields generation;
  int32_t num_top_logprobs = -1;
  std::vector<std::string> unknown_fields;
};

/// Reads a parsed body.
///
/// Throws: ApiError naming the field.
CompletionRequest read_completion_request(const OrderedJson& body, const ChatLimits& limits);

}  // namespace llava::serve
