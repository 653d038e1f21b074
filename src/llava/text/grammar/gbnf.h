// SPDX-License-Identifier: Apache-2.0
//
// Grammars in the notation of llama.cpp (GBNF), which other servers call EBNF.
#pragma once

#include <string_view>

#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// Longest grammar or regular expression accepted, in bytes.
inline constexpr std::size_t kMaxGrammarBytes = 65536;
/// Deepest nesting of groups accepted.
inline constexpr int kMaxGrammarDepth = 64;

/// Reads rules `name ::= alternatives`, of which `root` is the grammar. An alternative is a
/// sequence of "text", [a-z], [^a-z], . (any character), rule names, and groups in parentheses,
/// each of which may be followed by *, +, ?, {m}, {m,} or {m,n}. Alternatives are separated by |,
/// comments run from # to the end of the line, and a rule goes on until the next one begins.
///
/// Escapes in texts and classes: \n \r \t \\ \" \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH, the last three
/// naming a code point.
///
/// Throws: Error(kInvalidArgument) with the line, for what is none of this, for rules that are
/// missing or defined twice, and beyond the limits above.
Syntax parse_gbnf(std::string_view text);

}  // namespace llava::text::grammar
