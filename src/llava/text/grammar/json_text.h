// SPDX-License-Identifier: Apache-2.0
//
// The grammar of JSON texts: strings, numbers, and values of any kind.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// Longest run of blanks between two parts of a JSON text, so that an answer cannot be all blanks.
inline constexpr int32_t kMaxJsonBlanks = 20;

/// Rules for the parts of JSON, added to a grammar when first needed.
///
/// Numbers are limited to what every reader keeps exactly or nearly so: integers to 18 digits,
/// fractions to 15, exponents to two. Strings hold no lone surrogates.
class JsonText {
 public:
  explicit JsonText(Syntax& syntax) : syntax_(syntax) {}

  Expression blanks();
  /// One character inside the quotes, written in any way.
  Expression any_char();
  /// Characters inside the quotes, each written in one way: escaped only where JSON demands it.
  Expression chars(const std::vector<CharRange>& ranges);
  /// A string of `min` to `max` characters, quotes included.
  Expression string(int32_t min, std::optional<int32_t> max);
  /// The text between the quotes of a string that is none of these.
  Expression other_than(const std::vector<std::string>& strings);
  Expression integer();
  Expression number();
  /// A value of any kind, a list and an object of any values.
  Expression value();
  Expression array();
  Expression object();

  /// "[", `min` to `max` items, "]".
  Expression list_of(Expression item, int32_t min, std::optional<int32_t> max);
  /// Key, colon and value; `key` without its quotes.
  Expression member(Expression key, Expression value);
  /// "{", any number of members, "}".
  Expression object_of(Expression member);

 private:
  /// The rule of this name; `make` gives its content the first time.
  template <class Make>
  Expression rule(const std::string& name, Make&& make);

  Syntax& syntax_;
  std::map<std::string, int32_t> rules_;
};

}  // namespace llava::text::grammar
