// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/pin_record.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

PinRecord some_record() {
  PinRecord record;
  record.identity.fill(1);
  record.content.fill(2);
  record.num_tokens = 70000;
  record.images.resize(2);
  record.images[1].digest.fill(3);
  return record;
}

TEST(PinRecord, ComesBackAsItWas) {
  PinRecord record = some_record();
  EXPECT_EQ(parse_pin_record(write_pin_record(record), "test"), record);
  record.images.clear();
  EXPECT_EQ(parse_pin_record(write_pin_record(record), "test"), record);
}

TEST(PinRecord, SaysWhereItIsWrong) {
  const auto refusal = [](std::vector<std::byte> bytes) -> std::string {
    try {
      parse_pin_record(bytes, "f");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      return error.what();
    }
    return "accepted";
  };
  const std::vector<std::byte> good = write_pin_record(some_record());
  for (std::size_t size = 0; size < good.size(); ++size) {
    ASSERT_NE(refusal({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}),
              "accepted");
  }
  std::vector<std::byte> bad = good;
  bad.push_back(std::byte{0});
  EXPECT_NE(refusal(bad).find("offset 68"), std::string::npos);
  bad = good;
  bad[67] = std::byte{0x80};
  EXPECT_NE(refusal(bad).find("offset 64"), std::string::npos);
  bad = good;
  for (std::size_t i = 64; i < 68; ++i) bad[i] = std::byte{0};
  EXPECT_NE(refusal(bad).find("pins 0 tokens"), std::string::npos);
}

}  // namespace
}  // namespace llava::engine
