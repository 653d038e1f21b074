// SPDX-License-Identifier: Apache-2.0
//
// Records from bytes in any pieces (P11 of serving's conformance list).
#include "llava/serve/legacy/record_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"

namespace llava::serve {
namespace {

using std::string_literals::operator""s;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Records = std::vector<std::string>;

Records push(RecordSplitter& splitter, std::string_view bytes) {
  Records records;
  splitter.push(bytes, [&](std::string_view record) { records.emplace_back(record); });
  return records;
}

// The records of a body in pieces that end at `ends`, in order.
Records split(std::string_view body, const std::vector<std::size_t>& ends,
              std::optional<std::string>& rest) {
  RecordSplitter splitter;
  Records records;
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    for (std::string& record : push(splitter, body.substr(begin, end - begin))) {
      records.push_back(std::move(record));
    }
    begin = end;
  }
  for (std::string& record : push(splitter, body.substr(begin))) {
    records.push_back(std::move(record));
  }
  rest = splitter.finish();
  return records;
}

TEST(RecordSplitter, TakesSeveralRecordsInOnePiece) {
  RecordSplitter splitter;
  EXPECT_THAT(push(splitter, "one\0two\0thr"s), ElementsAre("one", "two"));
  EXPECT_THAT(push(splitter, ""), IsEmpty());
  EXPECT_THAT(push(splitter, "ee"), IsEmpty());
  EXPECT_THAT(push(splitter, "\0\0\0"s), ElementsAre("three"));
  EXPECT_EQ(splitter.finish(), std::nullopt);
}

TEST(RecordSplitter, GivesTheRestAtTheEnd) {
  RecordSplitter splitter;
  EXPECT_THAT(push(splitter, "one\0tw"s), ElementsAre("one"));
  EXPECT_THAT(push(splitter, "o"), IsEmpty());
  EXPECT_EQ(splitter.finish(), "two");
  EXPECT_EQ(splitter.finish(), std::nullopt);
}

// Two records of the original, one with characters of two to four bytes, and empty ones.
TEST(RecordSplitter, DoesNotDependOnTheCuts) {
  const std::string first = R"({"text": "P<image>H\u00e9 \u4f60\ud83d\ude00", "error_code": 0})";
  const std::string second = "{\"text\":\"\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x98\x80\",\"error_code\":0}";
  const std::string nul(1, '\0');
  const std::string body = nul + first + nul + second + nul + nul + "x" + nul + second;
  const Records expected{first, second, "x"};
  std::optional<std::string> rest;

  for (std::size_t a = 0; a <= body.size(); ++a) {
    for (std::size_t b = a; b <= body.size(); ++b) {
      ASSERT_EQ(split(body, {a, b}, rest), expected) << "cuts at " << a << " and " << b;
      ASSERT_EQ(rest, second);
    }
  }
  std::vector<std::size_t> everywhere;
  for (std::size_t i = 1; i < body.size(); ++i) everywhere.push_back(i);
  EXPECT_EQ(split(body, everywhere, rest), expected);
  EXPECT_EQ(rest, second);
}

TEST(RecordSplitter, EqualsSplittingTheWhole) {
  constexpr uint64_t kSeed = 5;
  SCOPED_TRACE(kSeed);
  Generator generator(kSeed);
  for (int round = 0; round < 2000; ++round) {
    // Bytes of all values, with many NULs.
    std::string body;
    Records expected;
    std::string record;
    const uint64_t size = generator.below(200);
    for (uint64_t i = 0; i < size; ++i) {
      const char c = generator.below(6) == 0 ? '\0' : static_cast<char>(generator.below(256));
      body += c;
      if (c != '\0') {
        record += c;
      } else if (!record.empty()) {
        expected.push_back(std::exchange(record, {}));
      }
    }
    std::vector<std::size_t> ends;
    for (std::size_t at = 0;;) {
      at += generator.below(20);
      if (at >= body.size()) break;
      ends.push_back(at);
    }
    std::optional<std::string> rest;
    ASSERT_EQ(split(body, ends, rest), expected) << "round " << round;
    ASSERT_EQ(rest.value_or(""), record) << "round " << round;
  }
}

TEST(RecordSplitter, BoundsTheRecord) {
  // A record of exactly the bound passes, in one piece or in several.
  RecordSplitter exact(4);
  EXPECT_THAT(push(exact, "1234\0"s), ElementsAre("1234"));
  EXPECT_THAT(push(exact, "12"), IsEmpty());
  EXPECT_THAT(push(exact, "34"), IsEmpty());
  EXPECT_THAT(push(exact, "\0"s), ElementsAre("1234"));

  for (const std::size_t cut : {0u, 3u, 8u, 11u, 12u}) {
    SCOPED_TRACE(cut);
    RecordSplitter splitter(4);
    const std::string body =
        "1234\0ab\0"
        "56789\0"s;
    Records records;
    const auto collect = [&](std::string_view record) { records.emplace_back(record); };
    try {
      splitter.push(std::string_view(body).substr(0, cut), collect);
      splitter.push(std::string_view(body).substr(cut), collect);
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kBadFormat);
      EXPECT_THAT(e.what(), HasSubstr("the record at byte 8 of a stream has more than 4 bytes"));
    }
    // Those before it were delivered.
    EXPECT_THAT(records, ElementsAre("1234", "ab"));
  }
}

TEST(RecordSplitter, HoldsNoMoreThanTheBoundWithoutAnyNul) {
  RecordSplitter splitter(1000);
  const std::string piece(300, 'x');
  for (int i = 0; i < 3; ++i) EXPECT_THAT(push(splitter, piece), IsEmpty());
  EXPECT_THROW(push(splitter, piece), Error);
}

TEST(RecordSplitter, PassesExceptionsOfTheReceiver) {
  RecordSplitter splitter;
  EXPECT_THROW(splitter.push("a\0b\0"s, [](std::string_view) { throw std::runtime_error("gone"); }),
               std::runtime_error);
}

}  // namespace
}  // namespace llava::serve
