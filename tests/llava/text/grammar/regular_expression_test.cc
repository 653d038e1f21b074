// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/regular_expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"
#include "llava/text/grammar/accepts.h"
#include "llava/text/regex_pattern.h"
#include "llava/text/utf8.h"

namespace llava::text::grammar {
namespace {

using ::testing::HasSubstr;

Acceptor acceptor_of(std::string_view pattern, RegexScope scope = RegexScope::kWhole) {
  Syntax syntax;
  syntax.root = syntax.add("root", parse_regex(pattern, scope));
  return Acceptor(syntax);
}

std::string refusal(std::string_view pattern) {
  try {
    acceptor_of(pattern);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << pattern;
  return {};
}

// The same patterns by PCRE2, on random texts of the characters that matter to them.
TEST(Regex, AgreesWithPcre) {
  constexpr uint64_t kSeed = 17;
  SCOPED_TRACE(kSeed);
  Generator generator(kSeed);
  const std::string letters = "aab1_-. \n\"\\/{}cA";
  for (const char* pattern : {"a*b",
                              "(a|b)*?c",
                              "[ab]{2,3}",
                              "[^ab]+",
                              "a{2}|b{2,}|c?",
                              "\\d+\\.\\d*",
                              "\\w+\\W\\w",
                              "(?:ab)+-?",
                              "(?<name>a(b(c)?)?)",
                              ".+",
                              "a{,2}",
                              "a{",
                              "[a\\-c]",
                              "[a-c-]+",
                              "\\{a\\}",
                              "\\s\\S",
                              "(|a)b",
                              "[\\d_]+",
                              "\\x61\\u0062",
                              "[^\\w]",
                              "()",
                              "a|",
                              "\\/\\\\\"",
                              "(a*)*b",
                              "[.*]",
                              "^ab?$",
                              "a+?b{1,2}?",
                              "((a|ab)(c|bcd)?)*"}) {
    const std::string pcre = replace_all(pattern, "\\u0062", "b");
    const RegexPattern oracle("\\A(?:" + pcre + ")\\z", pattern);
    Acceptor acceptor = acceptor_of(pattern);
    Acceptor part = acceptor_of(pattern, RegexScope::kAnyPart);
    const bool is_anchored = std::string_view(pattern).starts_with('^');
    const RegexPattern part_oracle(is_anchored ? "\\A(?:ab?)\\z" : pcre, pattern);
    for (int round = 0; round < 400; ++round) {
      std::string text;
      const uint64_t length = generator.below(7);
      for (uint64_t i = 0; i < length; ++i) text += letters[generator.below(letters.size())];
      ASSERT_EQ(acceptor.accepts(text), !oracle.find_all(text).empty())
          << "/" << pattern << "/ on '" << text << "'";
      ASSERT_EQ(part.accepts(text), !part_oracle.find_all(text).empty())
          << "part /" << pattern << "/ on '" << text << "'";
    }
  }
}

TEST(Regex, CharactersBeyondAscii) {
  EXPECT_TRUE(acceptor_of("[\\u00e0-\\u00ff]+.").accepts("\xC3\xA9\xC3\xBF\xF0\x9F\x98\x80"));
  EXPECT_TRUE(acceptor_of("\\u{1F600}").accepts("\xF0\x9F\x98\x80"));
  EXPECT_FALSE(acceptor_of("[^\xC3\xA9]").accepts("\xC3\xA9"));
  EXPECT_FALSE(acceptor_of(".").accepts("\xE2\x80\xA8"));
}

// Every place in the text is a possible beginning of the end: ever new sets of states. The work for
// one token is bounded.
TEST(Regex, WorkIsBounded) {
  Acceptor acceptor = acceptor_of(".*[a-m].{300}");
  Generator generator(4);
  std::string text;
  for (int i = 0; i < 20000; ++i) text += static_cast<char>('a' + generator.below(26));
  try {
    acceptor.accepts(text);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("too ambiguous"));
  }
  EXPECT_TRUE(acceptor.accepts(text.substr(0, 200) + "b" + text.substr(0, 300)));
}

TEST(Regex, NamesWhatIsNotSupported) {
  for (const char* pattern : {"(?=a)", "(?!a)", "(?<=a)", "(?<!a)b"}) {
    EXPECT_THAT(refusal(pattern), HasSubstr("look-around"));
  }
  EXPECT_THAT(refusal("(a)\\1"), HasSubstr("back-references"));
  EXPECT_THAT(refusal("\\bword"), HasSubstr("'\\b'"));
  EXPECT_THAT(refusal("\\p{L}"), HasSubstr("'\\p'"));
  EXPECT_THAT(refusal("(?i)a"), HasSubstr("flags"));
  EXPECT_THAT(refusal("a++"), HasSubstr("possessive"));
  EXPECT_THAT(refusal("(^a)"), HasSubstr("'^'"));
  EXPECT_THAT(refusal("a$b"), HasSubstr("'$'"));
  EXPECT_THAT(refusal("[[:alpha:]]"), HasSubstr("named classes"));
}

TEST(Regex, RefusesWhatIsNone) {
  EXPECT_THAT(refusal("a)"), HasSubstr("')' without"));
  EXPECT_THAT(refusal("(a"), HasSubstr("expected ')'"));
  EXPECT_THAT(refusal("[a"), HasSubstr("expected ']'"));
  EXPECT_THAT(refusal("[]a]"), HasSubstr("without characters"));
  EXPECT_THAT(refusal("*a"), HasSubstr("repeats nothing"));
  EXPECT_THAT(refusal("a{2}{3}"), HasSubstr("repetition of a repetition"));
  EXPECT_THAT(refusal("a{3,2}"), HasSubstr("3 to 2"));
  EXPECT_THAT(refusal("[b-a]"), HasSubstr("backwards"));
  EXPECT_THAT(refusal("\\"), HasSubstr("backslash"));
  EXPECT_THAT(refusal("\\xZZ"), HasSubstr("hexadecimal"));
  EXPECT_THAT(refusal(std::string(80, '(') + std::string(80, ')')), HasSubstr("deeper"));
}

}  // namespace
}  // namespace llava::text::grammar
