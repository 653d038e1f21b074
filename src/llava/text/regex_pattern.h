// SPDX-License-Identifier: Apache-2.0
//
// Regular expressions of tokenizer files. They are written for Oniguruma (Ruby syntax) with Unicode
// classes; PCRE2 runs them, after the few constructs that mean something else there are rewritten.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace llava::text {

/// A compiled pattern.
///
/// Threads: const, safe to share.
class RegexPattern {
 public:
  /// `source` names the file in messages.
  ///
  /// Throws: Error(kUnsupported) with the pattern and the reason if it cannot be run faithfully.
  RegexPattern(std::string_view pattern, std::string_view source);

  /// A pattern that matches exactly `text`.
  static RegexPattern literal(std::string_view text);

  struct Match {
    std::size_t begin;
    std::size_t end;
  };

  /// All matches from left to right, as Oniguruma's iteration yields them.
  ///
  /// Throws: Error(kBadFormat) if the pattern needs too many steps on this text.
  std::vector<Match> find_all(std::string_view valid_utf8) const;

 private:
  struct Code;
  RegexPattern() = default;

  std::shared_ptr<const Code> code_;
  std::string literal_;
};

/// The same pattern for PCRE2.
///
/// Throws: Error(kUnsupported) for set operations, nested classes and the flag m, which have no
/// equivalent there.
std::string pattern_for_pcre2(std::string_view pattern, std::string_view source);

}  // namespace llava::text
