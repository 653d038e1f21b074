// SPDX-License-Identifier: Apache-2.0
//
// The request of SGLang's /generate.
#pragma once

#include <string>

#include "llava/serve/protocol/completion_request.h"

namespace llava::serve {

struct GenerateRequest {
  CompletionRequest completion;
  /// A list was sent, so that a list is the answer.
  bool is_list = false;
  std::string id;  ///< the client's `rid`; empty: none
  bool has_logprobs = false;
  /// Nothing is generated: the prompt is computed, to be there when it comes again, and scored from
  /// behind `logprob_start` on where `has_logprobs`.
  bool has_no_answer = false;
  int32_t logprob_start = 0;
};

/// Reads a parsed body. `<image>` in a text is a picture's place; pictures for which there is none
/// stand in front, each with a newline, as SGLang's own client puts them.
///
/// Throws: ApiError naming the field.
GenerateRequest read_generate_request(const OrderedJson& body, const ChatLimits& limits);

}  // namespace llava::serve
