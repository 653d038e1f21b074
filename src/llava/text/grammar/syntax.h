// SPDX-License-Identifier: Apache-2.0
//
// What every way of writing a grammar is turned into: named rules over bytes, characters,
// sequences, choices and repetitions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llava::text::grammar {

/// Code points first to last, both included.
struct CharRange {
  char32_t first = 0;
  char32_t last = 0;

  friend bool operator==(const CharRange&, const CharRange&) = default;
};

/// Sorts and joins ranges; without surrogates, which no UTF-8 text holds.
std::vector<CharRange> normalized(std::vector<CharRange> ranges);
/// All code points of UTF-8 text that are in none of the ranges.
std::vector<CharRange> complement(std::vector<CharRange> ranges);

/// A pattern of text. A value: parts are owned.
struct Expression {
  enum class Kind : uint8_t {
    kBytes,     ///< exactly `bytes`
    kChar,      ///< one character of `ranges`
    kSequence,  ///< `parts` one after another; none: the empty text
    kChoice,    ///< one of `parts`; none: nothing matches
    kRepeat,    ///< parts[0], `min` to `max` times
    kRule,      ///< what rule `rule` matches
  };

  Kind kind = Kind::kSequence;
  std::string bytes;
  std::vector<CharRange> ranges;
  std::vector<Expression> parts;
  int32_t min = 0;
  std::optional<int32_t> max;
  int32_t rule = -1;
};

Expression bytes(std::string_view text);
Expression one_of(std::vector<CharRange> ranges);
Expression sequence(std::vector<Expression> parts);
Expression choice(std::vector<Expression> parts);
Expression repeat(Expression part, int32_t min, std::optional<int32_t> max);
Expression optional(Expression part);
Expression call(int32_t rule);

/// A grammar: its rules, and the one that the whole text must match.
struct Syntax {
  struct Rule {
    std::string name;  ///< for messages
    Expression expression;
  };

  std::vector<Rule> rules;
  int32_t root = 0;

  /// Adds a rule; returns its number.
  int32_t add(std::string name, Expression expression = {});
};

}  // namespace llava::text::grammar
