// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/json_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "llava/core/error.h"
#include "support/temporary_folder.h"

namespace llava::train_report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class JsonLines : public llava::testing::TemporaryFolder {
 protected:
  BrokenLines read(std::string_view text, int& taken) const {
    return read_json_lines(write("log.jsonl", text), [&](const Json& line) {
      if (line.contains("refuse")) fail(ErrorCode::kBadFormat, "not wanted");
      ++taken;
    });
  }
};

TEST_F(JsonLines, GoodLinesAreTaken) {
  int taken = 0;
  EXPECT_EQ(read("{\"a\": 1}\r\n\n{\"a\": 2}", taken).text(), "");
  EXPECT_EQ(taken, 2);
  EXPECT_EQ(read("", taken).text(), "");
}

TEST_F(JsonLines, BrokenLinesAreCountedAndNamed) {
  int taken = 0;
  const BrokenLines broken =
      read("{\"a\": 1}\n{\"a\": \n[1]\n{\"refuse\": 1}\n\xff\n{\"a\": 3}\n", taken);
  EXPECT_EQ(taken, 2);
  EXPECT_EQ(broken.count, 4u);
  EXPECT_FALSE(broken.has_torn_end);
  EXPECT_THAT(broken.text(), AllOf(HasSubstr("log.jsonl: 4 lines"), HasSubstr("line 2: "),
                                   HasSubstr("line 3: no JSON object"),
                                   HasSubstr("line 4: not wanted"), Not(HasSubstr("line 5"))));
}

TEST_F(JsonLines, ATornEndIsNoBrokenLine) {
  int taken = 0;
  const BrokenLines broken = read("{\"a\": 1}\n{\"a\"", taken);
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(broken.count, 0u);
  EXPECT_THAT(broken.text(), HasSubstr("the last line is not finished"));
}

TEST_F(JsonLines, ValuesOfOtherTypesAreAbsent) {
  const Json object = Json::parse(R"({"n": null, "s": "x", "i": -1, "f": 1.5, "big": 1e300})");
  EXPECT_TRUE(std::isnan(number_of(object, "n")));
  EXPECT_TRUE(std::isnan(number_of(object, "s")));
  EXPECT_EQ(number_of(object, "f"), 1.5);
  EXPECT_EQ(count_of(object, "i"), 0u);
  EXPECT_EQ(count_of(object, "f"), 0u);
  EXPECT_EQ(count_of(object, "big"), 0u);
  EXPECT_EQ(text_of(object, "s"), "x");
  EXPECT_EQ(text_of(object, "i"), "");
}

}  // namespace
}  // namespace llava::train_report
