// SPDX-License-Identifier: Apache-2.0
#include "llava/text/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace llava::text {
namespace {

TEST(Utf8, DecodesEveryLength) {
  const std::string text = "a\xC3\xA9\xE2\x96\x81\xF0\x9F\x98\x80";
  const char32_t expected[] = {U'a', 0xE9, 0x2581, 0x1F600};
  std::size_t at = 0;
  std::string again;
  for (const char32_t code_point : expected) {
    const Utf8Char c = decode_utf8(text, at);
    EXPECT_TRUE(c.is_valid);
    EXPECT_EQ(c.code_point, code_point);
    append_utf8(again, c.code_point);
    at += c.num_bytes;
  }
  EXPECT_EQ(at, text.size());
  EXPECT_EQ(again, text);
}

TEST(Utf8, RoundTripsEveryScalar) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Char decoded = decode_utf8(text, 0);
    ASSERT_TRUE(decoded.is_valid);
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.num_bytes, text.size());
  }
}

// Expected values: Python's bytes.decode("utf-8", "replace").
TEST(Utf8, ReplacesMaximalSubparts) {
  const std::string r(kReplacementCharacter);
  EXPECT_EQ(replace_invalid_utf8("ok"), "ok");
  EXPECT_EQ(replace_invalid_utf8("\x80"), r);
  EXPECT_EQ(replace_invalid_utf8("\xC0\x80"), r + r);
  EXPECT_EQ(replace_invalid_utf8("\xE2\x96"), r);
  EXPECT_EQ(replace_invalid_utf8("\xE2\x96x"), r + "x");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), r + r + r);
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x98"), r);
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), r + r + r + r);
  EXPECT_EQ(replace_invalid_utf8("\xFFz"), r + "z");
}

TEST(Utf8, FindsTheUnfinishedCharacter) {
  EXPECT_EQ(unfinished_utf8_suffix(""), 0u);
  EXPECT_EQ(unfinished_utf8_suffix("abc"), 0u);
  EXPECT_EQ(unfinished_utf8_suffix("a\xF0"), 1u);
  EXPECT_EQ(unfinished_utf8_suffix("a\xF0\x9F"), 2u);
  EXPECT_EQ(unfinished_utf8_suffix("a\xF0\x9F\x98"), 3u);
  EXPECT_EQ(unfinished_utf8_suffix("a\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(unfinished_utf8_suffix("\xE0\x80"), 0u);
  EXPECT_EQ(unfinished_utf8_suffix("\x80\x80\x80"), 0u);
  EXPECT_EQ(unfinished_utf8_suffix("\xC3"), 1u);
}

TEST(Utf8, KnowsSpacesAndWordCharacters) {
  for (const char32_t c : {0x20, 0x0A, 0x85, 0xA0, 0x1680, 0x2003, 0x3000}) {
    EXPECT_TRUE(is_unicode_space(c));
    EXPECT_FALSE(is_unicode_word(c));
  }
  for (const char32_t c : {0x180E, 0x200B, 0x1C, 0x2581}) EXPECT_FALSE(is_unicode_space(c));
  for (const char32_t c : {U'a', U'9', U'_', char32_t{0x301}, char32_t{0x4E00}, char32_t{0x24B6}}) {
    EXPECT_TRUE(is_unicode_word(c));
  }
  for (const char32_t c : {U'-', U'<', char32_t{0x1F600}}) EXPECT_FALSE(is_unicode_word(c));
}

TEST(Utf8, ReplacesAllOccurrences) {
  EXPECT_EQ(replace_all("a b  c", " ", kSpaceSymbol),
            "a\xE2\x96\x81"
            "b\xE2\x96\x81\xE2\x96\x81"
            "c");
  EXPECT_EQ(replace_all("aaa", "aa", "b"), "ba");
  EXPECT_EQ(replace_all("", "a", "b"), "");
}

}  // namespace
}  // namespace llava::text
