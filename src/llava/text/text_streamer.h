// SPDX-License-Identifier: Apache-2.0
//
// When generated text is shown, by the published rule: whole words, whole lines, and ideographs one
// by one. For terminals; servers send text as soon as its characters are complete.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/text/tokenizer.h"

namespace llava::text {

/// Turns ids into chunks of text as they come. Push new ids only; the begin token that the original
/// pushes first is never shown.
///
/// After a newline the cache restarts, so a leading space of the next line's first token is lost on
/// the screen, as published; the stored text keeps it.
///
/// Threads: one thread at a time.
/// Source: transformers 4.37 `TextStreamer`.
class TextStreamer {
 public:
  /// Keeps a reference to the tokenizer.
  explicit TextStreamer(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  /// The text to show after this id; often empty.
  ///
  /// Throws: Error(kInvalidArgument) if the id is out of range.
  std::string push(int32_t id);

  /// What is left to show at the end; the streamer is then as new.
  std::string finish();

 private:
  std::string take_until(const std::string& text, size_t end);

  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::vector<int32_t> ids_;
  size_t num_shown_ = 0;  // code points of the cached ids' text
};

}  // namespace llava::text
