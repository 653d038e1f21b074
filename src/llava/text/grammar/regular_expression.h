// SPDX-License-Identifier: Apache-2.0
//
// Regular expressions as grammars.
#pragma once

#include <functional>
#include <string_view>

#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// What must fit the expression.
enum class RegexScope {
  kWhole,   ///< the whole text; ^ and $ at its ends say the same
  kAnyPart  ///< any part of the text, as in JSON schemas, unless ^ and $ say otherwise
};

/// How one character of the expression is written in the text: itself, or escaped.
using CharForm = std::function<Expression(const std::vector<CharRange>& ranges)>;

/// Reads a regular expression of the kind that JavaScript, Python and PCRE share: characters,
/// . (all but line ends), classes, \d \w \s and their opposites (of ASCII, as in JavaScript),
/// groups, |, and repetitions, of which lazy ones match the same texts. ^ and $ may stand at the
/// ends of the alternatives that are not in a group.
///
/// Throws: Error(kInvalidArgument) with the place: for look-around, back-references, \b, \p and
/// other assertions, naming them, for what is no expression, and beyond the limits of gbnf.h.
Expression parse_regex(std::string_view text, RegexScope scope, const CharForm& char_form = one_of);

}  // namespace llava::text::grammar
