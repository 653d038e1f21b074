// SPDX-License-Identifier: Apache-2.0
//
// What a worker of the original is asked in the place of a request of OpenAI's API.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"

namespace llava::serve {

/// A request of /worker_generate_stream, and what its answer is to become.
struct OriginalRequest {
  enum class Form : uint8_t { kChat, kCompletion };

  std::string body = {};
  std::string prompt = {};             ///< with which every record begins
  std::vector<std::string> stop = {};  ///< what ends the answer: the template's, and the client's
  Form form = Form::kChat;
  bool is_streamed = false;
  bool includes_usage = false;
};

/// Translates the body of /v1/chat/completions for a worker that serves `model`. Takes a while:
/// pictures are decoded and sent as the original's web server does.
///
/// Throws: ApiError naming the field, also for what the original's protocol cannot say.
OriginalRequest translate_chat(const OrderedJson& body, std::string_view model);

/// The same for /v1/completions: one text, with one `<image>` for each picture.
OriginalRequest translate_completion(const OrderedJson& body, std::string_view model);

}  // namespace llava::serve
