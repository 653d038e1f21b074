// SPDX-License-Identifier: Apache-2.0
//
// JSON schemas as grammars.
#pragma once

#include <string_view>

#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// A grammar all of whose texts are JSON that fits the schema, though not all that fit it: members
/// come in the order of `properties`, members that are not named there only when
/// `additionalProperties` says so, and numbers within the limits of json_text.h and number_range.h.
///
/// Keywords: type, properties, required, additionalProperties, items, minItems, maxItems, enum,
/// const, anyOf, oneOf (alternatives of different types), allOf (of one schema), $ref within the
/// schema, minLength, maxLength, pattern, format (date-time, date, time, uuid, ipv4), minimum,
/// maximum, exclusiveMinimum, exclusiveMaximum; and those that only describe. Other keywords of the
/// standard are refused. What no standard names is ignored, or refused when `is_strict`, as are
/// formats that are not in the list. A repeated key in one object cannot be excluded where
/// additional members are allowed.
///
/// Throws: Error(kInvalidArgument) "invalid schema" naming the keyword and its place, also for JSON
/// that is malformed, longer than kMaxGrammarBytes (gbnf.h) or too deep.
Syntax parse_json_schema(std::string_view schema, bool is_strict);

/// Any JSON object.
Syntax json_object_syntax();

}  // namespace llava::text::grammar
