// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/gbnf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "llava/core/error.h"
#include "llava/core/random.h"
#include "llava/text/grammar/accepts.h"
#include "llava/text/grammar/utf8_ranges.h"
#include "llava/text/utf8.h"

namespace llava::text::grammar {
namespace {

using ::testing::HasSubstr;

bool accepts(std::string_view grammar, std::string_view text) {
  return Acceptor(parse_gbnf(grammar)).accepts(text);
}

// The message with which a grammar is refused.
std::string refusal(std::string_view grammar) {
  try {
    Acceptor acceptor(parse_gbnf(grammar));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << grammar;
  return {};
}

TEST(Gbnf, TextsClassesAndRepetitions) {
  constexpr const char* kGrammar = R"(
    # a greeting, some names, an end
    root  ::= "hello" (" " name){1,3} end?
    name  ::= [A-Z] [a-z]* | "\"" [^"\\]+ "\""
    end   ::= [.!\-\]] | "\x21" "\u00e9"
  )";
  Acceptor acceptor(parse_gbnf(kGrammar));
  for (const char* text :
       {"hello Bob", "hello A B C", "hello \"x y\".", "hello B-", "hello B]", "hello B!\xC3\xA9"}) {
    EXPECT_TRUE(acceptor.accepts(text)) << text;
  }
  for (const char* text : {"hello", "hello bob", "hello A B C D", "hello \"\"", "hello B,", ""}) {
    EXPECT_FALSE(acceptor.accepts(text)) << text;
  }
  EXPECT_TRUE(acceptor.accepts_beginning("hello Bo"));
  EXPECT_FALSE(acceptor.accepts_beginning("hello  "));
}

TEST(Gbnf, RulesGoOnOverLinesAndMayBeUsedBeforeTheyAreDefined) {
  constexpr const char* kGrammar =
      "root ::= a\n  | b b # or\n  | (\n \"c\"\n)\na::=\"x\"\nb ::= \"y\"";
  for (const char* text : {"x", "yy", "c"}) EXPECT_TRUE(accepts(kGrammar, text)) << text;
  EXPECT_FALSE(accepts(kGrammar, "y"));
}

TEST(Gbnf, CountedRepetitions) {
  for (int count = 0; count < 8; ++count) {
    const std::string text(static_cast<std::size_t>(count), 'a');
    EXPECT_EQ(accepts("root ::= \"a\"{3}", text), count == 3);
    EXPECT_EQ(accepts("root ::= \"a\"{3,}", text), count >= 3);
    EXPECT_EQ(accepts("root ::= \"a\"{2,5}", text), count >= 2 && count <= 5);
    EXPECT_EQ(accepts("root ::= (\"a\" | \"\"){0,2}", text), count <= 2);
    EXPECT_EQ(accepts("root ::= ((\"a\"*)*)*", text), true);
    EXPECT_EQ(accepts("root ::= (\"a\" \"a\"){1,3}", text), count == 2 || count == 4 || count == 6);
  }
}

TEST(Gbnf, NestsWithoutEnd) {
  Acceptor acceptor(parse_gbnf("root ::= \"(\" root \")\" root | \"\""));
  EXPECT_TRUE(acceptor.accepts("(()(()))()"));
  EXPECT_FALSE(acceptor.accepts("(()"));
  EXPECT_FALSE(acceptor.accepts_beginning("())"));
  const std::string deep(2000, '(');
  EXPECT_TRUE(acceptor.accepts(deep + std::string(2000, ')')));
}

// Every palindrome's middle could be here: as many waiting rules as bytes, merged where they agree.
TEST(Gbnf, AmbiguityDoesNotMultiply) {
  Acceptor palindromes(parse_gbnf("root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"\""));
  std::string text;
  Generator generator(1);
  for (int i = 0; i < 150; ++i) text += generator.below(2) == 0 ? 'a' : 'b';
  const std::string back(text.rbegin(), text.rend());
  EXPECT_TRUE(palindromes.accepts(text + back));
  EXPECT_FALSE(palindromes.accepts(text + back + "a" + text));
  Acceptor sums(parse_gbnf("root ::= \"a\" (root \"b\" | root \"c\" | root root)?"));
  EXPECT_TRUE(sums.accepts(std::string(61, 'a') + "bc"));
}

TEST(Gbnf, ClassesMatchExactlyTheirCharacters) {
  const std::vector<std::vector<CharRange>> classes = {
      {{0x41, 0x5A}},
      {{0x7F, 0x80}},
      {{0x400, 0x4FF}, {0x10, 0x20}},
      {{0x7FF, 0x801}},
      {{0xD7FE, 0xE001}},
      {{0xFFFE, 0x10001}},
      {{0x1F600, 0x1F64F}},
      {{0x3FFFF, 0x40000}, {0x10FFFF, 0x10FFFF}},
      complement({{0x22, 0x22}, {0x5C, 0x5C}, {0, 0x1F}})};
  for (std::size_t number = 0; number < classes.size(); ++number) {
    SCOPED_TRACE(number);
    Syntax syntax;
    syntax.root = syntax.add("root", one_of(classes[number]));
    Acceptor acceptor(syntax);
    std::vector<char32_t> tried{0,       1,        0x7F,   0x80,   0x7FF,   0x800,   0xFFFF,
                                0x10000, 0x10FFFF, 0xD7FF, 0xE000, 0x3FFFF, 0x40000, 0x1F601};
    for (const CharRange& range : classes[number]) {
      for (char32_t step = 0; step < 3; ++step) {
        tried.insert(tried.end(), {range.first + step, range.first - step, range.last + step,
                                   range.last - step, (range.first + range.last) / 2 + step});
      }
    }
    for (const char32_t c : tried) {
      if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) continue;
      std::string text;
      append_utf8(text, c);
      const bool is_in =
          std::any_of(classes[number].begin(), classes[number].end(),
                      [&](const CharRange& range) { return range.first <= c && c <= range.last; });
      EXPECT_EQ(acceptor.accepts(text), is_in) << static_cast<uint32_t>(c);
    }
    EXPECT_FALSE(acceptor.accepts("\xED\xA0\x80"));  // a surrogate
    EXPECT_FALSE(acceptor.accepts("\xC1\x81"));      // an overlong form
  }
}

TEST(Gbnf, RefusesWhatIsNone) {
  EXPECT_THAT(refusal(""), HasSubstr("no rule 'root'"));
  EXPECT_THAT(refusal("a ::= \"x\""), HasSubstr("no rule 'root'"));
  EXPECT_THAT(refusal("root ::= b"), HasSubstr("does not define"));
  EXPECT_THAT(refusal("root ::= \"a\"\nroot ::= \"b\""),
              HasSubstr("line 2, byte 9: rule 'root' is"));
  EXPECT_THAT(refusal("root = \"a\""), HasSubstr("'::='"));
  EXPECT_THAT(refusal("root ::= \"a"), HasSubstr("expected '\"'"));
  EXPECT_THAT(refusal("root ::= [a"), HasSubstr("expected ']'"));
  EXPECT_THAT(refusal("root ::= (\"a\""), HasSubstr("expected ')'"));
  EXPECT_THAT(refusal("root ::= \"a\")"), HasSubstr("expected a rule"));
  EXPECT_THAT(refusal("root ::= \"\\q\""), HasSubstr("unknown escape"));
  EXPECT_THAT(refusal("root ::= [z-a]"), HasSubstr("backwards"));
  EXPECT_THAT(refusal("root ::= \"a\"{3,2}"), HasSubstr("3 to 2"));
  EXPECT_THAT(refusal("root ::= \"a\"**"), HasSubstr("repetition of a repetition"));
  EXPECT_THAT(refusal("root ::= \"\\uD800\""), HasSubstr("no code point"));
  EXPECT_THAT(refusal("root ::= \"\xFF\""), HasSubstr("UTF-8"));
  EXPECT_THAT(refusal("root ::= \"a\" root"), HasSubstr("no way to end"));
}

TEST(Gbnf, WhatCannotBeFinishedIsNotBegun) {
  Acceptor acceptor(parse_gbnf("root ::= \"ab\" endless | \"c\"\nendless ::= \"y\" endless"));
  EXPECT_FALSE(acceptor.accepts_beginning("a"));
  EXPECT_TRUE(acceptor.accepts("c"));
}

TEST(Gbnf, RefusesLeftRecursion) {
  EXPECT_THAT(refusal("root ::= root \"a\" | \"b\""), HasSubstr("'root' calls itself"));
  EXPECT_THAT(refusal("root ::= a \"x\" | \"\"\na ::= b?  c\nb ::= \"y\"\nc ::= a \"z\" | \"w\""),
              HasSubstr("left recursion"));
  EXPECT_THAT(refusal("root ::= (root? \"a\")*"), HasSubstr("left recursion"));
}

TEST(Gbnf, Limits) {
  EXPECT_THAT(refusal("root ::= ([a-z] [a-z]){99999}"), HasSubstr("more than 10000 times"));
  EXPECT_THAT(refusal("root ::= (\"a\"{200}){200} \"b\"{9900}"),
              HasSubstr("more than 10000 states"));
  EXPECT_THAT(refusal("root ::= " + std::string(100, '(') + "\"a\"" + std::string(100, ')')),
              HasSubstr("deeper than 64"));
  EXPECT_THAT(refusal("root ::= \"" + std::string(70000, 'a') + "\""), HasSubstr("at most 65536"));
  // A repeated part is built once: this needs few states.
  EXPECT_TRUE(accepts("root ::= ([a-z]{90} \"-\"){90}", [] {
    std::string text;
    for (int i = 0; i < 90; ++i) text += std::string(90, 'q') + "-";
    return text;
  }()));
}

// Work is bounded: a grammar that is ambiguous beyond reason is refused, not followed.
TEST(Gbnf, HostileAmbiguityEndsInAnError) {
  std::string grammar = "root ::= a0\n";
  for (int i = 0; i < 60; ++i) {
    grammar += fmt::format("a{} ::= (\"x\" a{}? \"y\"?)* \"x\"? (\"x\"? a{} \"z\"?)?\n", i,
                           (i + 7) % 60, (i + 1) % 60 + 60);
    grammar += fmt::format("a{} ::= \"x\" (a{} | a{} \"q\")?\n", i + 60, i, (i + 13) % 60);
  }
  Acceptor acceptor(parse_gbnf(grammar));
  try {
    acceptor.accepts_beginning(std::string(3000, 'x'));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace llava::text::grammar
