// SPDX-License-Identifier: Apache-2.0
#include "llava/core/error.h"

#include <gtest/gtest.h>

#include <set>

#include "llava/core/check.h"

namespace llava {
namespace {

struct Row {
  ErrorCode code;
  std::string_view name;
  int exit_status;
  int http_status;
};

constexpr Row kTable[] = {
    {ErrorCode::kInvalidArgument, "invalid_argument", 2, 400},
    {ErrorCode::kNotFound, "not_found", 3, 404},
    {ErrorCode::kBadFormat, "bad_format", 3, 400},
    {ErrorCode::kUnsupported, "unsupported", 3, 400},
    {ErrorCode::kResourceExhausted, "resource_exhausted", 4, 503},
    {ErrorCode::kUnavailable, "unavailable", 4, 503},
    {ErrorCode::kCancelled, "cancelled", 130, 499},
    {ErrorCode::kInternal, "internal", 1, 500},
};

TEST(ErrorTest, EveryCodeHasItsStatuses) {
  std::set<std::string_view> names;
  for (const Row& row : kTable) {
    EXPECT_EQ(error_code_name(row.code), row.name);
    EXPECT_EQ(exit_status(row.code), row.exit_status) << row.name;
    EXPECT_EQ(http_status(row.code), row.http_status) << row.name;
    names.insert(error_code_name(row.code));
  }
  EXPECT_EQ(names.size(), std::size(kTable));
}

TEST(ErrorTest, FailFormatsItsMessage) {
  try {
    fail(ErrorCode::kBadFormat, "'{}' has {} bytes", "a.bin", 3);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kBadFormat);
    EXPECT_STREQ(e.what(), "'a.bin' has 3 bytes");
  }
}

// Names in messages come from files: they must not end the message nor command the terminal.
TEST(ErrorTest, ControlCharactersAreWrittenOut) {
  const Error error(ErrorCode::kBadFormat, std::string("a\0b \x1b[2J \x7f\n\t \xC3\xA9", 15));
  EXPECT_STREQ(error.what(), "a\\x00b \\x1b[2J \\x7f\n\t \xC3\xA9");
}

TEST(ErrorTest, CheckNamesConditionAndValues) {
  const int found = 3;
  try {
    LLAVA_CHECK(found == 4, "found {}", found);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInternal);
    const std::string message = e.what();
    EXPECT_NE(message.find("found == 4"), std::string::npos) << message;
    EXPECT_NE(message.find(": found 3"), std::string::npos) << message;
    EXPECT_NE(message.find("error_test.cc"), std::string::npos) << message;
  }
}

TEST(ErrorTest, CheckThatHoldsDoesNothing) {
  EXPECT_NO_THROW(LLAVA_CHECK(true));
  EXPECT_NO_THROW(LLAVA_CHECK(true, "unused {}", 1));
}

}  // namespace
}  // namespace llava
