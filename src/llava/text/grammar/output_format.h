// SPDX-License-Identifier: Apache-2.0
//
// The forms in which a request may ask for structured output.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// What an answer must look like.
struct OutputFormat {
  enum class Kind : uint8_t {
    kJsonObject,  ///< any JSON object
    kJsonSchema,  ///< JSON that fits the schema `text`
    kRegex,       ///< fits the regular expression `text` as a whole
    kGbnf,        ///< fits the grammar `text`
    kChoice       ///< one of `choices`
  };

  Kind kind = Kind::kJsonObject;
  std::string text;
  std::vector<std::string> choices;
  /// Of a schema: refuse what is not understood instead of ignoring it.
  bool is_strict = false;

  friend bool operator==(const OutputFormat&, const OutputFormat&) = default;
};

/// The grammar of a format.
///
/// Throws: Error(kInvalidArgument), see parse_json_schema, parse_regex and parse_gbnf; for a list
/// of choices that is empty or longer than kMaxGrammarBytes in all.
Syntax syntax_of(const OutputFormat& format);

}  // namespace llava::text::grammar
