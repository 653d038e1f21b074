// SPDX-License-Identifier: Apache-2.0
#include "llava/core/json.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "llava/core/error.h"

namespace llava {
namespace {

// The message of the kBadFormat error that `action` must end with.
template <class Action>
std::string bad_format(const Action& action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kBadFormat) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

std::string parse_error(std::string_view text) {
  return bad_format([&] { parse_json(text, "some.json"); });
}

void expect_words(const std::string& message, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' in: " << message;
  }
}

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') +
         std::string(static_cast<std::size_t>(depth), ']');
}

TEST(JsonTest, ParsesValuesOfEveryKind) {
  const Json json = parse_json(
      R"( {"a": [1, -2, 3.5, 1e3], "b": {"c": null, "d": true}, "e": "\u00e9\n"} )", "t");
  EXPECT_EQ(json["a"][3], 1000.0);
  EXPECT_TRUE(json["b"]["c"].is_null());
  EXPECT_EQ(json["e"], "\xC3\xA9\n");
}

TEST(JsonTest, OrderedKeepsTheOrderAndTheLimits) {
  const OrderedJson json = parse_ordered_json(R"({"b": 1, "a": {"z": 2, "c": 3}})", "t");
  EXPECT_EQ(json.dump(), R"({"b":1,"a":{"z":2,"c":3}})");
  expect_words(bad_format([] { parse_ordered_json(R"({"a": 1, "a": 2})", "t"); }),
               {"'a'", "twice"});
  EXPECT_THROW(parse_ordered_json(nested(kMaxJsonDepth + 1), "t"), Error);
}

TEST(JsonTest, MalformedTextNamesSourceAndByte) {
  expect_words(parse_error("{\"a\": 1,, }"), {"some.json", "byte 9", "get it again"});
  expect_words(parse_error(""), {"some.json is empty", "get it again"});
  // What the library calls itself and its errors helps nobody.
  EXPECT_EQ(parse_error("{\"a\"").find("json.exception"), std::string::npos);
  EXPECT_EQ(parse_error("[1e999]").find("json.exception"), std::string::npos);
  for (const std::string_view text : {"",
                                      " ",
                                      "{",
                                      "[1, 2",
                                      "{\"a\" 1}",
                                      "[1,]",
                                      "{\"a\":1,}",
                                      "nul",
                                      "01",
                                      "+1",
                                      ".5",
                                      "1.",
                                      "'a'",
                                      "\"\\x\"",
                                      "\"tab\there\"",
                                      "\"\\ud800\"",
                                      "[1] 2",
                                      "{} {}",
                                      "NaN",
                                      "Infinity",
                                      "[1 /* no */]",
                                      "\"open",
                                      "\xEF\xBB",
                                      "1e999",
                                      "-1e999"}) {
    SCOPED_TRACE(std::string(text));
    expect_words(parse_error(text), {"some.json"});
  }
}

TEST(JsonTest, InvalidUtf8IsRefused) {
  for (const std::string_view text :
       {"\"\xFF\"", "\"\xC3\"", "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\"\xF4\x90\x80\x80\""}) {
    expect_words(parse_error(text), {"some.json"});
  }
}

TEST(JsonTest, DuplicateKeysAreRefusedAtEveryLevel) {
  expect_words(parse_error(R"({"a": 1, "b": 2, "a": 3})"), {"some.json", "'a'", "twice"});
  expect_words(parse_error(R"([{"x": {"y": 1, "y": 1}}])"), {"'y'"});
  // Escapes do not hide a duplicate; the same key in different objects is none.
  expect_words(parse_error(R"({"a": 1, "\u0061": 2})"), {"'a'"});
  EXPECT_NO_THROW(parse_json(R"({"a": {"a": 1}, "b": {"a": 2}})", "t"));
  EXPECT_NO_THROW(parse_json(R"([{"a": 1}, {"a": 1}])", "t"));
}

TEST(JsonTest, DepthIsLimited) {
  EXPECT_NO_THROW(parse_json(nested(kMaxJsonDepth), "t"));
  expect_words(parse_error(nested(kMaxJsonDepth + 1)), {"some.json", "100"});
  parse_error(std::string(1000000, '['));
  std::string objects;
  for (int i = 0; i <= kMaxJsonDepth; ++i) objects += "{\"a\":";
  expect_words(parse_error(objects), {"100"});
  // Closed brackets do not count.
  std::string siblings = "[";
  for (int i = 0; i < 1000; ++i) siblings += "[],{},";
  EXPECT_NO_THROW(parse_json(siblings + "0]", "t"));
}

TEST(JsonTest, MessagesStayShort) {
  EXPECT_LT(parse_error("[\"" + std::string(100000, 'x') + "\xFF\"]").size(), 1000u);
  EXPECT_LT(
      parse_error("{\"" + std::string(100000, 'k') + "\":1,\"" + std::string(100000, 'k') + "\":2}")
          .size(),
      1000u);
  EXPECT_LT(parse_error(std::string(100000, '1') + "x").size(), 1000u);
}

TEST(JsonTest, FileErrorsNameTheFile) {
  std::string name = (std::filesystem::temp_directory_path() / "llava-json-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(name.data());
  const auto path = folder / "config.json";
  std::ofstream(path) << "{\"a\": }";
  expect_words(bad_format([&] { read_json_file(path); }), {path.string()});
  expect_words(bad_format([&] { read_json_file(path, 3); }), {path.string(), "at most 3"});
  expect_words(bad_format([&] { read_json_file(folder); }), {folder.string(), "directory"});
  std::ofstream(path, std::ios::trunc) << "";
  expect_words(bad_format([&] { read_json_file(path); }), {path.string()});
  std::filesystem::remove_all(folder);
}

TEST(JsonTest, TextReplacesInvalidUtf8AndKeepsOrder) {
  EXPECT_EQ(to_text(Json("a\xFF")), "\"a\xEF\xBF\xBD\"");
  OrderedJson ordered;
  ordered["z"] = 1;
  ordered["a"] = 2;
  EXPECT_EQ(to_text(ordered), R"({"z":1,"a":2})");
  EXPECT_EQ(to_text(Json{{"a", 1}}, 2), "{\n  \"a\": 1\n}");
}

class JsonObjectTest : public testing::Test {
 protected:
  Json json_ = parse_json(R"({
    "flag": true, "count": 7, "negative": -7, "whole": 8.0, "half": 0.5, "huge": 1e300,
    "beyond": 9223372036854775808, "largest": 9223372036854775807, "beyond_unsigned": 36893488147419103232,
    "name": "llama", "nothing": null, "ids": [1, -2], "mixed": [1, 0.5], "names": ["a", "b"],
    "bad": [1, "a"], "empty": [], "object": {}})",
                          "config.json");
  JsonObject object_{json_, "config.json"};

  template <class Get>
  void expect_wrong(std::string_view key, std::string_view expected, const Get& get) {
    expect_words(bad_format([&] { get(key); }),
                 {"config.json", "'" + std::string(key) + "'", expected});
  }
};

TEST_F(JsonObjectTest, ReadsEachType) {
  EXPECT_EQ(object_.get_bool("flag"), true);
  EXPECT_EQ(object_.get_int("count"), 7);
  EXPECT_EQ(object_.get_int("negative"), -7);
  EXPECT_EQ(object_.get_int("whole"), 8);
  EXPECT_EQ(object_.get_int("largest"), INT64_MAX);
  EXPECT_EQ(object_.get_number("count"), 7.0);
  EXPECT_EQ(object_.get_number("half"), 0.5);
  EXPECT_EQ(object_.get_string("name"), "llama");
  EXPECT_EQ(object_.get_int_list("ids"), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(object_.get_number_list("mixed"), (std::vector<double>{1.0, 0.5}));
  EXPECT_EQ(object_.get_string_list("names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(object_.get_int_list("empty"), std::vector<int64_t>{});
}

TEST_F(JsonObjectTest, AbsentAndNullAreNotSet) {
  for (const std::string_view key : {"absent", "nothing"}) {
    EXPECT_FALSE(object_.has(key));
    EXPECT_EQ(object_.find(key), nullptr);
    EXPECT_EQ(object_.get_bool(key), std::nullopt);
    EXPECT_EQ(object_.get_int(key), std::nullopt);
    EXPECT_EQ(object_.get_number(key), std::nullopt);
    EXPECT_EQ(object_.get_string(key), std::nullopt);
    EXPECT_EQ(object_.get_int_list(key), std::nullopt);
    EXPECT_EQ(object_.get_number_list(key), std::nullopt);
    EXPECT_EQ(object_.get_string_list(key), std::nullopt);
  }
  EXPECT_TRUE(object_.has("flag"));
}

TEST_F(JsonObjectTest, WrongTypesNameKeyAndExpectation) {
  expect_wrong("count", "true or false", [&](auto key) { object_.get_bool(key); });
  for (const std::string_view key :
       {"half", "huge", "beyond", "beyond_unsigned", "name", "flag", "ids"}) {
    expect_wrong(key, "integer", [&](auto k) { object_.get_int(k); });
  }
  expect_wrong("name", "a number", [&](auto key) { object_.get_number(key); });
  expect_wrong("flag", "a number", [&](auto key) { object_.get_number(key); });
  expect_wrong("count", "a string", [&](auto key) { object_.get_string(key); });
  for (const std::string_view key : {"count", "mixed", "bad", "object"}) {
    expect_wrong(key, "a list of integers", [&](auto k) { object_.get_int_list(k); });
  }
  expect_wrong("bad", "a list of numbers", [&](auto key) { object_.get_number_list(key); });
  expect_wrong("bad", "a list of strings", [&](auto key) { object_.get_string_list(key); });
}

TEST_F(JsonObjectTest, LongValuesAreCutInMessages) {
  const Json json{{"key", std::string(10000, 'x')}};
  const JsonObject object(json, "config.json");
  EXPECT_LT(bad_format([&] { object.get_int("key"); }).size(), 200u);

  // The cut leaves whole characters, wherever it falls.
  for (std::size_t padding = 0; padding < 4; ++padding) {
    std::string value(padding, 'x');
    for (int i = 0; i < 100; ++i) value += "\xE2\x82\xAC";
    const Json wide{{"key", value}};
    const JsonObject wide_object(wide, "config.json");
    const std::string message = bad_format([&] { wide_object.get_int("key"); });
    EXPECT_EQ(to_text(Json(message)).find("\xEF\xBF\xBD"), std::string::npos) << message;
  }
}

TEST_F(JsonObjectTest, OnlyAnObjectIsOne) {
  for (const std::string_view text : {"[]", "1", "null", "\"a\""}) {
    const Json json = parse_json(text, "t");
    expect_words(bad_format([&] { JsonObject(json, "config.json"); }),
                 {"config.json", "expected a JSON object"});
  }
}

}  // namespace
}  // namespace llava
