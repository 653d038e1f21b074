// SPDX-License-Identifier: Apache-2.0
//
// The examples of FIPS 180-4 (SHA-256, secure hash standard).
#include "llava/core/hash.h"

#include <gtest/gtest.h>

#include <string_view>

namespace llava {
namespace {

std::string hash_of(std::string_view text) {
  return to_hex(sha256(std::as_bytes(std::span(text.data(), text.size()))));
}

TEST(HashTest, PublishedExamples) {
  EXPECT_EQ(hash_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash_of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(HashTest, PartsMakeTheSameDigestAsTheWhole) {
  const std::string text(1000, 'x');
  const auto bytes = std::as_bytes(std::span(text));
  Sha256Stream stream;
  for (const std::size_t cut : {0u, 1u, 63u, 64u, 65u, 1000u}) {
    stream.update(bytes.first(cut));
    stream.update(bytes.subspan(cut));
    EXPECT_EQ(stream.finish(), sha256(bytes)) << "cut at " << cut;
  }
  EXPECT_EQ(stream.finish(), sha256({}));
}

}  // namespace
}  // namespace llava
