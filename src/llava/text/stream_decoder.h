// SPDX-License-Identifier: Apache-2.0
//
// Text of a growing list of tokens, piece by piece. The pieces together are exactly the text of the
// whole list, and none ends inside a character.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/text/tokenizer.h"

namespace llava::text {

/// Decodes one stream. What later tokens could still change is held back.
///
/// Threads: one stream, one thread.
class StreamDecoder {
 public:
  /// The tokenizer must outlive the object.
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special);

  /// Adds a token; returns the text that is now certain, often empty.
  ///
  /// Throws: Error(kInvalidArgument) if the id is outside the vocabulary; the token is not added.
  std::string push(int32_t id);

  /// Ends the stream; returns what was held back.
  std::string finish();

 private:
  std::size_t certain_bytes(const std::string& text) const;
  void shrink(const std::string& text);

  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::vector<int32_t> probes_;  ///< tokens whose coming would change the text before them
  std::vector<int32_t> window_;  ///< tokens that decode to the text around the end
  std::size_t done_ = 0;         ///< bytes of the window's text that were returned
};

}  // namespace llava::text
