// SPDX-License-Identifier: Apache-2.0
//
// AnswerService: whoever answers the questions of a batch, one at a time or many together.
#pragma once

#include <cstdint>
#include <future>
#include <string>
#include <vector>

#include "llava/engine/generation.h"

namespace llava::engine {

/// A question about any number of pictures.
struct BatchQuestion {
  int64_t index = 0;                  ///< place in the batch
  std::vector<std::string> pictures;  ///< paths or addresses
  std::string question;
};

/// Its answer.
struct BatchAnswer {
  std::string text;
  FinishReason finish_reason = FinishReason::kLength;
  int32_t prompt_tokens = 0;  ///< pictures included
  int32_t image_tokens = 0;
  int32_t completion_tokens = 0;
  int32_t draft_tokens = 0;     ///< guessed ahead
  int32_t accepted_tokens = 0;  ///< of those, right
};

/// Threads: one caller.
class AnswerService {
 public:
  virtual ~AnswerService() = default;

  /// Starts an answer. Its error, whatever it is, comes out of `get()`; a future that is destroyed
  /// before gives the answer up.
  virtual std::future<BatchAnswer> submit(BatchQuestion question) = 0;
};

}  // namespace llava::engine
