// SPDX-License-Identifier: Apache-2.0
#include "llava/core/base64.h"

#include <gtest/gtest.h>

#include "llava/core/random.h"

namespace llava {
namespace {

// RFC 4648, section 10.
TEST(Base64, PublishedVectors) {
  const std::pair<const char*, const char*> kVectors[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : kVectors) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text), bytes);
  }
}

TEST(Base64, BothAlphabetsSpacesAndMissingPadding) {
  EXPECT_EQ(decode_base64("+/+/"), "\xFB\xFF\xBF");
  EXPECT_EQ(decode_base64("-_-_"), "\xFB\xFF\xBF");
  EXPECT_EQ(decode_base64("Zm9v\r\n YmE"), "fooba");
  EXPECT_EQ(decode_base64("Zg"), "f");
}

TEST(Base64, RefusesWhatIsNone) {
  for (const char* text :
       {"Z", "Zm9vY", "Zm9v!", "Zg==Zg==", "Zg=a", "https://x/y.png", "\xC3\xA9"}) {
    EXPECT_FALSE(decode_base64(text)) << text;
  }
}

TEST(Base64, LenientDecodingSkipsWhatIsNone) {
  EXPECT_EQ(decode_base64_leniently("Z m!9v*"), "foo");
  EXPECT_EQ(decode_base64_leniently("Zg==Zg=="), "f");
  EXPECT_FALSE(decode_base64_leniently("Z"));
}

TEST(Base64, RoundTrips) {
  const uint64_t seed = 11;
  SCOPED_TRACE(seed);
  Generator generator(seed);
  for (std::size_t size = 0; size < 300; ++size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(generator());
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes);
  }
}

}  // namespace
}  // namespace llava
