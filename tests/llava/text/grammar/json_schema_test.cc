// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/grammar/accepts.h"
#include "llava/text/grammar/number_range.h"

namespace llava::text::grammar {
namespace {

using ::testing::HasSubstr;

Acceptor acceptor_of(std::string_view schema) { return Acceptor(parse_json_schema(schema, true)); }

std::string refusal(std::string_view schema, bool is_strict = true) {
  try {
    Acceptor acceptor(parse_json_schema(schema, is_strict));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    return error.what();
  }
  ADD_FAILURE() << "accepted: " << schema;
  return {};
}

void expect_accepts(std::string_view schema, const std::vector<std::string>& good,
                    const std::vector<std::string>& bad) {
  SCOPED_TRACE(schema);
  Acceptor acceptor = acceptor_of(schema);
  for (const std::string& text : good) EXPECT_TRUE(acceptor.accepts(text)) << text;
  for (const std::string& text : bad) EXPECT_FALSE(acceptor.accepts(text)) << text;
}

TEST(JsonSchema, AnyObject) {
  Acceptor acceptor(json_object_syntax());
  for (const char* text :
       {"{}", "{ \n }", R"({"a": 1, "b" : [true, false, null, {"c": "\u00e9\n\"\\\ud83d\ude00"}]})",
        "{\"\":-0.5e+10,\"x\":\"\xC3\xA9\xF0\x9F\x98\x80\"}"}) {
    EXPECT_TRUE(acceptor.accepts(text)) << text;
  }
  for (const char* text :
       {"", "[]", "{,}", "{\"a\":1,}", "{\"a\" 1}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":\"\\x\"}",
        "{\"a\":\"\n\"}", "{\"a\":\"\\ud83d\"}", "{\"a\":\"\\ude00\"}", "{\"a\":1.}", "{'a':1}",
        "{} ", "{\"a\":\"\xED\xA0\x80\"}", "{\"a\":tru}"}) {
    EXPECT_FALSE(acceptor.accepts(text)) << text;
  }
  // Blanks are limited, or an answer could be nothing else.
  EXPECT_TRUE(acceptor.accepts("{" + std::string(20, ' ') + "}"));
  EXPECT_FALSE(acceptor.accepts_beginning("{" + std::string(21, ' ')));
}

TEST(JsonSchema, Types) {
  expect_accepts(R"({"type": "null"})", {"null"}, {"0", "\"\""});
  expect_accepts(R"({"type": "boolean"})", {"true", "false"}, {"True", "1"});
  expect_accepts(R"({"type": "integer"})", {"0", "-17", "999999999999999999"},
                 {"1.5", "-0", "01", "1e3", "9999999999999999999"});
  expect_accepts(R"({"type": ["string", "null"]})", {"\"x\"", "null"}, {"1"});
  expect_accepts("true", {"1", "\"a\"", "[[]]", "{\"a\":{}}"}, {"", "a"});
  expect_accepts(R"({"title": "anything"})", {"1.25e-3", "[1,2]"}, {"1,2"});
}

TEST(JsonSchema, Strings) {
  expect_accepts(R"({"type": "string", "minLength": 1, "maxLength": 3})",
                 {"\"a\"", "\"\xC3\xA9\xF0\x9F\x98\x80\\n\"", "\"\\ud83d\\ude00\\u0041b\""},
                 {"\"\"", "\"abcd\"", "\"\\ud83d\\ude00abc\""});
  expect_accepts(R"({"pattern": "^[a-c]+\\d$"})", {"\"abc7\""}, {"\"7\"", "\"xa7\"", "\"a77\""});
  expect_accepts(R"({"pattern": "b|^c"})", {"\"abc\"", "\"cx\"", "\"\\nb\""}, {"\"acx\"", "\"\""});
  // Characters of a pattern are escaped where JSON needs it.
  expect_accepts(R"({"pattern": "^[\"\\\\\n]$"})", {R"("\"")", R"("\\")", R"("\n")"},
                 {"\"\"\"", "\"\\\"", "\"\n\"", "\"n\""});
  expect_accepts(R"({"pattern": "^[^a]$"})", {"\"b\"", R"("\u001f")", R"("\t")"},
                 {"\"a\"", R"("\u0061")", "\"bb\""});
}

TEST(JsonSchema, Formats) {
  expect_accepts(R"({"type": "string", "format": "date"})", {"\"2024-02-28\"", "\"1999-12-31\""},
                 {"\"2024-13-01\"", "\"2024-04-31\"", "\"2023-02-29\"", "\"24-1-1\""});
  expect_accepts(R"({"type": "string", "format": "date-time"})",
                 {"\"2024-02-28T23:59:59Z\"", "\"2024-02-28T00:00:00.123456+05:30\""},
                 {"\"2024-02-28\"", "\"2024-02-28T24:00:00Z\"", "\"2024-02-28T23:59:59\""});
  expect_accepts(R"({"type": "string", "format": "ipv4"})", {"\"255.0.10.99\""},
                 {"\"256.0.0.1\"", "\"1.2.3\"", "\"01.2.3.4\""});
  expect_accepts(R"({"format": "uuid"})", {"\"123e4567-e89b-12d3-a456-426614174000\""},
                 {"\"123e4567\""});
  EXPECT_THAT(refusal(R"({"type": "string", "format": "email"})"), HasSubstr("'format'"));
  EXPECT_NO_THROW(parse_json_schema(R"({"type": "string", "format": "email"})", false));
}

TEST(JsonSchema, Lists) {
  expect_accepts(R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
                 {"[1]", "[ 1 , 2,3 ]"}, {"[]", "[1,2,3,4]", "[1.5]", "[1,]"});
  expect_accepts(R"({"items": {"type": "null"}})", {"[]", "[null,null]"}, {"[1]", "null"});
  expect_accepts(R"({"type": "array", "maxItems": 0})", {"[]", "[ ]"}, {"[1]"});
  expect_accepts(R"({"type": "array", "items": false})", {"[]"}, {"[1]"});
}

TEST(JsonSchema, Objects) {
  constexpr const char* kSchema = R"({"type": "object", "properties": {"b": {"type": "integer"},
      "a": {"type": "null"}, "c": {"type": "boolean"}}, "required": ["a"]})";
  expect_accepts(kSchema,
                 {R"({"b":1,"a":null,"c":true})", R"({"a":null})",
                  R"({ "a" : null , "c" : false })", R"({"b":2, "a":null})"},
                 {"{}", R"({"b":1})", R"({"a":null,"b":1})", R"({"a":null,"d":1})",
                  R"({,"a":null})", R"({"a":null,})"});
  // Members that are not named may not take a named one's name, however it is written.
  expect_accepts(
      R"({"properties": {"ab": {"type": "null"}, "a\"": {"type": "null"}},
                     "additionalProperties": {"type": "integer"}})",
      {"{}", R"({"a":1})", R"({"ab":null,"abc":2,"":3,"b\u0061":4})", R"({"a\"":null,"b":1})"},
      {R"({"ab":1})", R"({"\u0061b":1})", R"({"a\"":1})", R"({"x":null})",
       R"({"ab":null,"ab":1})"});
  expect_accepts(R"({"required": ["x"]})", {R"({"x":[1],"y":2})"}, {R"({"y":2})"});
  expect_accepts(R"({"type": "object", "additionalProperties": false})", {"{}"}, {R"({"a":1})"});
  expect_accepts(R"({"type":"object","properties":{"a":false,"b":true}})", {R"({"b":[0]})", "{}"},
                 {R"({"a":1})"});
}

TEST(JsonSchema, LiteralsAndCombinations) {
  expect_accepts(R"({"enum": ["red", 1, null, {"a": [1, 2]}]})",
                 {"\"red\"", "1", "null", R"({"a":[1,2]})"}, {"\"blue\"", "2"});
  expect_accepts(R"({"type": "string", "enum": ["x", 1]})", {"\"x\""}, {"1"});
  expect_accepts(R"({"const": "a\"b"})", {R"("a\"b")"}, {"\"a\""});
  expect_accepts(R"({"anyOf": [{"type": "integer"}, {"const": "n/a"}]})", {"3", "\"n/a\""},
                 {"null"});
  expect_accepts(R"({"oneOf": [{"type": "integer"}, {"type": ["string", "null"]}]})",
                 {"3", "\"a\"", "null"}, {"true"});
  expect_accepts(R"({"allOf": [{"type": "integer"}]})", {"3"}, {"null"});
}

TEST(JsonSchema, ReferencesMayBeRecursive) {
  expect_accepts(R"({"$defs": {"tree": {"type": "object", "properties": {"v": {"type": "integer"},
      "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "required": ["v"]}},
      "$ref": "#/$defs/tree"})",
                 {R"({"v":1,"kids":[{"v":2},{"v":3,"kids":[]}]})"}, {R"({"kids":[]})", "[]"});
  expect_accepts(R"({"type": "array", "items": {"$ref": "#"}})", {"[[],[[]]]"}, {"[1]"});
  // A member named like a number is no list item of that place.
  expect_accepts(R"({"properties": {"a": {"type": "null"}, "0": {"type": "integer"},
                     "b": {"$ref": "#/properties/0"}}})",
                 {R"({"b":1})"}, {R"({"b":null})"});
  EXPECT_THAT(refusal(R"({"$ref": "#/nowhere"})"), HasSubstr("not there"));
  EXPECT_THAT(refusal(R"({"$ref": "other.json"})"), HasSubstr("'other.json'"));
  EXPECT_THAT(refusal(R"({"$ref": "#"})"), HasSubstr("calls itself"));
  // Each value needs another one inside: none is ever complete.
  EXPECT_THAT(
      refusal(R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})"),
      HasSubstr("no text fits"));
}

TEST(JsonSchema, IntegerRanges) {
  for (const auto& [min, max] : std::vector<std::pair<int, int>>{{0, 0},
                                                                 {0, 9},
                                                                 {3, 7},
                                                                 {0, 10},
                                                                 {9, 11},
                                                                 {-5, 5},
                                                                 {-120, -7},
                                                                 {95, 1203},
                                                                 {100, 999},
                                                                 {-1, 0},
                                                                 {17, 17},
                                                                 {989, 1010}}) {
    SCOPED_TRACE(fmt::format("{} to {}", min, max));
    Acceptor acceptor = acceptor_of(
        fmt::format(R"({{"type": "integer", "minimum": {}, "maximum": {}}})", min, max));
    for (int value = -1300; value <= 1300; ++value) {
      ASSERT_EQ(acceptor.accepts(std::to_string(value)), value >= min && value <= max) << value;
    }
    EXPECT_FALSE(acceptor.accepts("-0"));
    EXPECT_FALSE(acceptor.accepts("007"));
  }
  expect_accepts(R"({"type": "integer", "exclusiveMinimum": 3, "maximum": 5.5})", {"4", "5"},
                 {"3", "6"});
  expect_accepts(R"({"type": "integer", "minimum": 1})", {"1", "999999999999999999"}, {"0", "-1"});
  EXPECT_THAT(refusal(R"({"type": "integer", "minimum": 3, "maximum": 2})"),
              HasSubstr("no integer"));
}

TEST(JsonSchema, NumberRanges) {
  expect_accepts(R"({"type": "number", "minimum": 0, "maximum": 1})",
                 {"0", "0.0", "0.25", "1", "1.0", "0.999999"}, {"1.01", "-0.5", "2", "1e0", "-0"});
  expect_accepts(R"({"type": "number", "exclusiveMinimum": 0})", {"0.000001", "7.5", "123456789"},
                 {"0", "0.0", "-1"});
  expect_accepts(R"({"type": "number", "exclusiveMinimum": -2, "exclusiveMaximum": 2})",
                 {"0", "-1.999999", "1.999999", "-0.5"}, {"2", "-2", "2.0", "-2.5"});
  expect_accepts(R"({"type": "number", "maximum": -3.5})", {"-4", "-4.25", "-100"},
                 {"-3.4", "-3", "3"});
  EXPECT_THAT(refusal(R"({"type": "number", "minimum": 0.2, "maximum": 0.7})"),
              HasSubstr("leaves no number"));
}

TEST(JsonSchema, NamesWhatItDoesNotSupport) {
  for (const char* keyword : {"multipleOf", "minProperties", "maxProperties", "patternProperties",
                              "propertyNames", "not", "if", "contains", "prefixItems",
                              "uniqueItems", "dependentRequired", "unevaluatedProperties"}) {
    for (const bool is_strict : {true, false}) {
      EXPECT_THAT(
          refusal(fmt::format(R"({{"type": "object", "properties": {{"p": {{"{}": true}}}}}})",
                              keyword),
                  is_strict),
          HasSubstr(fmt::format("invalid schema: keyword '{}' at #/properties/p", keyword)));
    }
  }
  EXPECT_THAT(refusal(R"({"type": "object", "minmum": 1})"),
              HasSubstr("'minmum' at # is not known"));
  EXPECT_NO_THROW(parse_json_schema(R"({"type": "object", "x-order": 1})", false));
  EXPECT_THAT(refusal(R"({"anyOf": [true], "type": "object"})"), HasSubstr("'type'"));
  EXPECT_THAT(refusal(R"({"$ref": "#", "minimum": 3})"), HasSubstr("'minimum'"));
  EXPECT_THAT(refusal(R"({"pattern": "a", "maxLength": 3})"), HasSubstr("'maxLength'"));
  EXPECT_THAT(refusal(R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})"),
              HasSubstr("anyOf"));
  EXPECT_THAT(refusal(R"({"allOf": [true, true]})"), HasSubstr("single"));
  EXPECT_THAT(refusal("{\"pattern\": \"(?=a)\"}"), HasSubstr("look-around"));
}

TEST(JsonSchema, RefusesWhatIsNone) {
  EXPECT_THAT(refusal("{"), HasSubstr("invalid schema"));
  EXPECT_THAT(refusal("3"), HasSubstr("expected an object"));
  EXPECT_THAT(refusal(R"({"type": "text"})"), HasSubstr("unknown type 'text'"));
  EXPECT_THAT(refusal(R"({"type": 3})"), HasSubstr("list of strings"));
  EXPECT_THAT(refusal(R"({"enum": []})"), HasSubstr("'enum'"));
  EXPECT_THAT(refusal(R"({"minLength": -1})"), HasSubstr("not a count"));
  EXPECT_THAT(refusal(R"({"maxLength": 1e9})"), HasSubstr("not a count"));
  EXPECT_THAT(refusal(R"({"maxLength": 20000})"), HasSubstr("larger than 10000"));
  EXPECT_THAT(refusal(R"({"minimum": "1"})"), HasSubstr("not a number"));
  EXPECT_THAT(refusal(R"({"required": "a"})"), HasSubstr("list of strings"));
  EXPECT_THAT(refusal(R"({"minItems": 3, "maxItems": 2})"), HasSubstr("'maxItems'"));
  EXPECT_THAT(refusal(R"({"properties": {"a": 1}})"), HasSubstr("#/properties/a"));
  EXPECT_THAT(refusal("false"), HasSubstr("no text fits"));
  EXPECT_THAT(refusal(std::string(70000, ' ') + "true"), HasSubstr("at most 65536"));
  EXPECT_THAT(refusal(R"({"a": 1, "a": 2})"), HasSubstr("twice"));
  std::string deep;
  for (int i = 0; i < 120; ++i) deep += R"({"items":)";
  EXPECT_THAT(refusal(deep + "true" + std::string(120, '}')), HasSubstr("nested deeper"));
  EXPECT_THAT(refusal(R"({"maxItems": 9000, "items": {"maxLength": 9000}})"),
              HasSubstr("more than 10000 states"));
}

}  // namespace
}  // namespace llava::text::grammar
