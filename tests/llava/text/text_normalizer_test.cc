// SPDX-License-Identifier: Apache-2.0
#include "llava/text/text_normalizer.h"

#include <gtest/gtest.h>

#include <string>

namespace llava::text {
namespace {

// Expected values: Python's unicodedata.normalize.
TEST(UnicodeForm, MatchesTheStandard) {
  const std::string angstrom = "\xE2\x84\xAB";  // U+212B
  EXPECT_EQ(to_unicode_form(angstrom, UnicodeForm::kNfc), "\xC3\x85");
  EXPECT_EQ(to_unicode_form(angstrom, UnicodeForm::kNfd), "A\xCC\x8A");
  const std::string ligature = "\xEF\xAC\x81";  // U+FB01
  EXPECT_EQ(to_unicode_form(ligature, UnicodeForm::kNfc), ligature);
  EXPECT_EQ(to_unicode_form(ligature, UnicodeForm::kNfkc), "fi");
  EXPECT_EQ(to_unicode_form("x e\xCC\x81y", UnicodeForm::kNfc), "x \xC3\xA9y");
  // Marks are sorted by class: dot below before acute.
  EXPECT_EQ(to_unicode_form("q\xCC\x81\xCC\xA3", UnicodeForm::kNfd), "q\xCC\xA3\xCC\x81");
  // Hangul jamo compose.
  EXPECT_EQ(to_unicode_form("\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", UnicodeForm::kNfc),
            "\xEA\xB0\x81");
  EXPECT_EQ(to_unicode_form("\xEA\xB0\x81", UnicodeForm::kNfd),
            "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8");
  EXPECT_EQ(to_unicode_form("", UnicodeForm::kNfc), "");
  EXPECT_EQ(to_unicode_form("plain ASCII", UnicodeForm::kNfkd), "plain ASCII");
  // A mark at the very beginning, and one that composes with ASCII.
  EXPECT_EQ(to_unicode_form("\xCC\x81"
                            "a",
                            UnicodeForm::kNfc),
            "\xCC\x81"
            "a");
  EXPECT_EQ(to_unicode_form("<\xCC\xB8", UnicodeForm::kNfc), "\xE2\x89\xAE");
}

TEST(UnicodeForm, ManyMarksAreNotQuadratic) {
  std::string text = "a";
  for (int i = 0; i < 200'000; ++i) text += i % 2 == 0 ? "\xCC\x81" : "\xCC\xA3";
  EXPECT_EQ(to_unicode_form(text, UnicodeForm::kNfd).size(), text.size());
}

TEST(TextNormalizer, AppliesStepsInOrder) {
  TextNormalizer normalizer;
  normalizer.add(TextNormalizer::Strip{});
  normalizer.add(TextNormalizer::Lowercase{});
  normalizer.add(TextNormalizer::Form{UnicodeForm::kNfd});
  normalizer.add(TextNormalizer::StripAccents{});
  normalizer.add(TextNormalizer::Replace{RegexPattern("\\s+", "test"), "_"});
  normalizer.add(TextNormalizer::Prepend{">"});
  EXPECT_EQ(normalizer.normalize(" \xC3\x89 T \n\xC3\x9C\xE3\x80\x80"), ">e_t_u");
  EXPECT_EQ(normalizer.normalize("  "), "");
  EXPECT_EQ(normalizer.normalize("\xC4\xB0"), ">i");
}

TEST(TextNormalizer, StripsTheSidesAskedFor) {
  TextNormalizer left;
  left.add(TextNormalizer::Strip{.left = true, .right = false});
  EXPECT_EQ(left.normalize(" a "), "a ");
  TextNormalizer right;
  right.add(TextNormalizer::Strip{.left = false, .right = true});
  EXPECT_EQ(right.normalize(" a "), " a");
}

}  // namespace
}  // namespace llava::text
