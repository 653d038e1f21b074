// SPDX-License-Identifier: Apache-2.0
//
// The normalizers of tokenizer.json: rewriting steps applied to a text before it is cut into words.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "llava/text/regex_pattern.h"

namespace llava::text {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

/// A Unicode normal form of a valid text.
std::string to_unicode_form(std::string_view text, UnicodeForm form);

/// Steps in order.
///
/// Threads: const, safe to share.
class TextNormalizer {
 public:
  /// Puts `text` in front of a text that is not empty.
  struct Prepend {
    std::string text;
  };
  /// Replaces every match.
  struct Replace {
    RegexPattern pattern;
    std::string content;
  };
  struct Form {
    UnicodeForm form;
  };
  struct Lowercase {};
  /// Drops nonspacing marks.
  struct StripAccents {};
  /// Trims Unicode white space.
  struct Strip {
    bool left = true;
    bool right = true;
  };
  using Step = std::variant<Prepend, Replace, Form, Lowercase, StripAccents, Strip>;

  void add(Step step);
  bool empty() const noexcept { return steps_.empty(); }

  std::string normalize(std::string_view valid_utf8) const;

 private:
  std::vector<Step> steps_;
};

}  // namespace llava::text
