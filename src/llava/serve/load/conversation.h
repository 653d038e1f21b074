// SPDX-License-Identifier: Apache-2.0
//
// Made-up conversations about pictures.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/serve/load/load_options.h"

namespace llava::serve {

/// Makes the conversations of a run; the same for the same seed.
///
/// Threads: one thread at a time.
class ConversationMaker {
 public:
  /// Throws: what read_file throws, for --image.
  explicit ConversationMaker(const LoadOptions& options);

  /// The messages of a new conversation, with its first question.
  OrderedJson begin();
  /// Adds an answer and the next question.
  void go_on(OrderedJson& messages, const std::string& answer);

 private:
  std::string question();
  std::string picture_url();
  std::string draw_picture();

  const LoadOptions options_;
  std::mt19937_64 random_;
  std::vector<std::string> files_;  ///< as data: URLs
  std::string shared_url_;
  std::size_t next_file_ = 0;
};

}  // namespace llava::serve
