// SPDX-License-Identifier: Apache-2.0
//
// Both dialects against what Python 3 writes: json.dumps(value) for records, and
// json.dumps(value, ensure_ascii=False, separators=(",", ":")) for plain answers. The literals are
// its output; invalid bytes went through bytes.decode("utf-8", "replace") first.
#include "llava/serve/legacy/wire_json.h"

#include <gtest/gtest.h>

#include <limits>

#include "llava/core/error.h"

namespace llava::serve {
namespace {

using std::string_literals::operator""s;

// The original's record, as it was captured (serving 2.12).
TEST(WireJson, WritesTheCapturedSamples) {
  OrderedJson record;
  record["text"] = "P<image>H\xC3\xA9 \xE4\xBD\xA0\xF0\x9F\x98\x80";
  record["error_code"] = 0;
  EXPECT_EQ(record_json(record),
            R"({"text": "P<image>H\u00e9 \u4f60\ud83d\ude00", "error_code": 0})");
  EXPECT_EQ(stream_record(record), record_json(record) + "\0"s);
  EXPECT_EQ(compact_json(record),
            "{\"text\":\"P<image>H\xC3\xA9 \xE4\xBD\xA0\xF0\x9F\x98\x80\",\"error_code\":0}");
  EXPECT_EQ(compact_json({{"models", {"llava-v1.5-7b"}}}), R"({"models":["llava-v1.5-7b"]})");
  EXPECT_EQ(compact_json({{"address", "http://127.0.0.1:21902"}}),
            R"({"address":"http://127.0.0.1:21902"})");
  EXPECT_EQ(compact_json({{"exist", false}}), R"({"exist":false})");
  EXPECT_EQ(compact_json(nullptr), "null");
}

TEST(WireJson, EscapesAsPythonDoes) {
  std::string text;
  for (char c = 0; c < 0x20; ++c) text += c;
  text += "\"\\/\x7F\xC2\x80\xC2\x9F\xC2\xA0";
  EXPECT_EQ(
      record_json(text),
      R"("\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f)"
      R"(\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d)"
      R"(\u001e\u001f\"\\/\u007f\u0080\u009f\u00a0")");
  EXPECT_EQ(
      compact_json(text),
      R"("\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f)"
      R"(\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001a\u001b\u001c\u001d)"
      R"(\u001e\u001f\"\\/)"
      "\x7F\xC2\x80\xC2\x9F\xC2\xA0\"");
}

TEST(WireJson, WritesSurrogatePairsAtTheEdges) {
  // U+07FF, U+0800, U+2028, U+2029, U+D7FF, U+E000, U+FFFD, U+FFFF, U+10000, U+10FFFF.
  const std::string text =
      "\xDF\xBF\xE0\xA0\x80\xE2\x80\xA8\xE2\x80\xA9\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBD\xEF\xBF\xBF"
      "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF";
  EXPECT_EQ(record_json(text),
            R"("\u07ff\u0800\u2028\u2029\ud7ff\ue000\ufffd\uffff\ud800\udc00\udbff\udfff")");
  EXPECT_EQ(compact_json(text), "\"" + text + "\"");
}

TEST(WireJson, WritesNumbersAsRepr) {
  const OrderedJson numbers{1.0,
                            -0.0,
                            0.1,
                            1e15,
                            1e16,
                            1e-4,
                            1e-5,
                            1.5e-7,
                            0.7,
                            5e-324,
                            1.7976931348623157e308,
                            123456789012345680.0,
                            100.0,
                            2.0 / 3};
  EXPECT_EQ(record_json(numbers),
            "[1.0, -0.0, 0.1, 1000000000000000.0, 1e+16, 0.0001, 1e-05, 1.5e-07, 0.7, 5e-324, "
            "1.7976931348623157e+308, 1.2345678901234568e+17, 100.0, 0.6666666666666666]");
  EXPECT_EQ(record_json({0, -1, INT64_MAX, INT64_MIN, UINT64_MAX, true, false, nullptr}),
            "[0, -1, 9223372036854775807, -9223372036854775808, 18446744073709551615, true, false, "
            "null]");
  // Where Python writes NaN and Infinity, which no parser has to take.
  EXPECT_EQ(record_json({std::numeric_limits<double>::quiet_NaN(),
                         std::numeric_limits<double>::infinity()}),
            "[null, null]");
}

TEST(WireJson, KeepsTheOrderOfTheKeys) {
  const OrderedJson value = parse_ordered_json(
      R"([[],{},[[]],{"z":{"b":[1,{"a":null}]},"a":"", "k\u00e9\n\u007f":1}])", "test");
  EXPECT_EQ(record_json(value),
            R"([[], {}, [[]], {"z": {"b": [1, {"a": null}]}, "a": "", "k\u00e9\n\u007f": 1}])");
  EXPECT_EQ(compact_json(value),
            "[[],{},[[]],{\"z\":{\"b\":[1,{\"a\":null}]},\"a\":\"\",\"k\xC3\xA9\\n\x7F\":1}]");
}

TEST(WireJson, ReplacesInvalidText) {
  const std::pair<std::string, std::string> cases[] = {
      {"a\xFF"
       "b",
       R"("a\ufffdb")"},
      {"\xE4\xBD", R"("\ufffd")"},
      {"\xED\xA0\x80", R"("\ufffd\ufffd\ufffd")"},
      {"\xC0\x80", R"("\ufffd\ufffd")"},
      {"\xF0\x9F\x98", R"("\ufffd")"},
      {"\xF0\x9F\x98"
       "A\xE4\xBD\xA0",
       R"("\ufffdA\u4f60")"},
      {"\xF4\x90\x80\x80", R"("\ufffd\ufffd\ufffd\ufffd")"},
  };
  for (const auto& [bytes, expected] : cases) {
    SCOPED_TRACE(expected);
    EXPECT_EQ(record_json(bytes), expected);
    // The same text in the other dialect.
    EXPECT_EQ(compact_json(bytes), compact_json(parse_ordered_json(expected, "test")));
    const OrderedJson object{{bytes, 1}};
    EXPECT_EQ(record_json(object), "{" + expected + ": 1}");
  }
}

TEST(WireJson, BothDialectsReadBack) {
  OrderedJson value;
  value["text"] = "\x01\"\\ \x7F\xC3\xA9\xF0\x9F\x98\x80";
  value["list"] = {1, 0.1, -2.5e-9, nullptr, true};
  EXPECT_EQ(parse_ordered_json(record_json(value), "test"), value);
  EXPECT_EQ(parse_ordered_json(compact_json(value), "test"), value);
}

TEST(WireJson, WritesWholeNumbersWithoutFraction) {
  EXPECT_EQ(compact_json({{"speed", number_json(1)}, {"queue_length", number_json(0)}}),
            R"({"speed":1,"queue_length":0})");
  EXPECT_EQ(compact_json(number_json(-3)), "-3");
  EXPECT_EQ(compact_json(number_json(0.5)), "0.5");
  EXPECT_TRUE(number_json(1e300).is_number_float());
  EXPECT_TRUE(number_json(std::numeric_limits<double>::quiet_NaN()).is_number_float());
}

TEST(WireJson, RefusesWhatJsonHasNot) {
  EXPECT_THROW(record_json(OrderedJson::binary({1, 2})), Error);
}

}  // namespace
}  // namespace llava::serve
