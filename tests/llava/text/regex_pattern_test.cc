// SPDX-License-Identifier: Apache-2.0
#include "llava/text/regex_pattern.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llava/core/error.h"

namespace llava::text {
namespace {

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  std::vector<std::string> found;
  for (const auto& match : RegexPattern(pattern, "test").find_all(text)) {
    found.push_back(text.substr(match.begin, match.end - match.begin));
  }
  return found;
}

using Strings = std::vector<std::string>;

TEST(RegexPattern, FindsAllMatches) {
  EXPECT_EQ(matches("[a-z]+", "ab 1 cd"), (Strings{"ab", "cd"}));
  EXPECT_EQ(matches("\\s+(?!\\S)|\\s+", "a   b "), (Strings{"  ", " ", " "}));
  EXPECT_EQ(matches("", "ab"), (Strings{"", "", ""}));
  EXPECT_EQ(matches("a*", "baac"), (Strings{"", "aa", ""}));
  EXPECT_EQ(matches("x", ""), Strings{});
}

// Oniguruma's \s is White_Space: no U+180E, but U+0085. Its (?i:s) knows the long s.
TEST(RegexPattern, UsesUnicodeClassesOfOniguruma) {
  EXPECT_EQ(matches("\\s", "\xE1\xA0\x8E"), Strings{});
  EXPECT_EQ(matches("[^\\s]", "\xE1\xA0\x8E"), Strings{"\xE1\xA0\x8E"});
  EXPECT_EQ(matches("\\s", "\xC2\x85"), Strings{"\xC2\x85"});
  EXPECT_EQ(matches("\\S", "a \x1C"), (Strings{"a", "\x1C"}));
  EXPECT_EQ(matches("(?i:'s)", "'S '\xC5\xBF"), (Strings{"'S", "'\xC5\xBF"}));
  EXPECT_EQ(matches("\\p{N}", "\xE2\x85\xA7"), Strings{"\xE2\x85\xA7"});
  EXPECT_EQ(matches("\\h+", "xyz09afAF"), Strings{"09afAF"});
  EXPECT_EQ(matches("\\p{Han}", "\xE3\x80\x81"), Strings{});
  EXPECT_EQ(matches("^b$", "a\nb\nc"), Strings{"b"});
  EXPECT_EQ(matches("[]a]+", "]a["), Strings{"]a"});
}

TEST(RegexPattern, RefusesWhatMeansSomethingElse) {
  for (const char* pattern :
       {"[a&&b]", "[a[b]]", "(?m:.)", "(?im)a", "[\\S]", "(", "\\p{Nothing}", "a{2,1}", "\xFF"}) {
    try {
      RegexPattern(pattern, "file.json");
      ADD_FAILURE() << pattern;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_NE(std::string(error.what()).find("file.json"), std::string::npos);
    }
  }
}

TEST(RegexPattern, StopsHostilePatterns) {
  const RegexPattern pattern("(a+)+$", "test");
  try {
    pattern.find_all(std::string(40, 'a') + "b");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
  }
}

TEST(RegexPattern, LongRunsOfSpaceAreLinear) {
  const std::string text(2'000'000, ' ');
  EXPECT_EQ(RegexPattern("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "test").find_all(text).size(), 1u);
}

TEST(RegexPattern, MatchesLiterals) {
  EXPECT_EQ(RegexPattern::literal("a.").find_all("a.b.a.a.").size(), 3u);
  EXPECT_TRUE(RegexPattern::literal("").find_all("abc").empty());
}

}  // namespace
}  // namespace llava::text
