// SPDX-License-Identifier: Apache-2.0
//
// Answers that can be foretold, some of them errors.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <string>

#include "llava/core/error.h"
#include "llava/engine/batch/answer_service.h"

namespace llava::engine {

class FakeAnswers : public AnswerService {
 public:
  static bool is_bad(int64_t index) { return index % 7 == 3; }
  static std::string answer_to(const BatchQuestion& question) {
    return fmt::format("{} about {}", question.question, fmt::join(question.pictures, "+"));
  }

  std::future<BatchAnswer> submit(BatchQuestion question) override {
    ++num_submitted;
    ++num_in_flight;
    most_in_flight = std::max(most_in_flight, num_in_flight);
    return std::async(std::launch::deferred, [this, question = std::move(question)] {
      --num_in_flight;
      if (--answers_until_kill == 0) ::raise(SIGKILL);
      if (is_bad(question.index)) {
        fail(ErrorCode::kBadFormat, "picture {} is damaged", question.index);
      }
      return BatchAnswer{.text = answer_to(question),
                         .finish_reason = FinishReason::kEndToken,
                         .prompt_tokens = 10,
                         .image_tokens = 4,
                         .completion_tokens = 3};
    });
  }

  /// Ends the process as `kill -9` does, while so many more answers are made.
  int answers_until_kill = 0;
  int num_submitted = 0;
  int num_in_flight = 0;
  int most_in_flight = 0;
};

}  // namespace llava::engine
