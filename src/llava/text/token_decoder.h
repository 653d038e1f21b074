// SPDX-License-Identifier: Apache-2.0
//
// The decoders of tokenizer.json: steps that turn the strings of tokens into text.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "llava/text/regex_pattern.h"

namespace llava::text {

/// Steps in order, each from a list of strings to a list of strings; the last list is joined.
///
/// Threads: const, safe to share.
class TokenDecoder {
 public:
  /// Replaces every match in each string.
  struct Replace {
    RegexPattern pattern;
    std::string content;
  };
  /// Runs of byte pieces become text, or one U+FFFD for each byte when a run is not valid UTF-8.
  struct ByteFallback {};
  /// Joins all strings.
  struct Fuse {};
  /// Takes up to `start` leading and `stop` trailing occurrences of a character off each string.
  struct Strip {
    std::string content;
    std::size_t start = 0;
    std::size_t stop = 0;
  };
  /// Maps the byte alphabet back, with U+FFFD for what is not valid.
  struct ByteLevel {};
  /// Turns `replacement` into spaces, dropping those of the first token if `drops_first`.
  struct Metaspace {
    std::string replacement;
    bool drops_first = true;
  };
  using Step = std::variant<Replace, ByteFallback, Fuse, Strip, ByteLevel, Metaspace>;

  void add(Step step);

  /// Text of the tokens; without any step they are joined by spaces, as the library does.
  std::string decode(std::vector<std::string> tokens) const;

  /// What one token adds to a text, byte pieces as their byte, behind others or as the first;
  /// nothing when tokens are joined by spaces.
  std::optional<std::string> bytes_of(std::string token, bool is_first) const;

 private:
  std::vector<Step> steps_;
};

}  // namespace llava::text
