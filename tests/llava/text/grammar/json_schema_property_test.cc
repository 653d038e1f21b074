// SPDX-License-Identifier: Apache-2.0
//
// Random schemas, and answers made at random among the tokens that their grammars allow: every one
// is JSON that fits its schema, by a validator that knows nothing of grammars.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/random.h"
#include "llava/text/grammar/json_schema.h"
#include "llava/text/grammar/random_walk.h"
#include "llava/text/grammar/schema_check.h"
#include "llava/text/grammar/vocabularies.h"

namespace llava::text::grammar {
namespace {

// Makes schemas of the supported keywords.
class SchemaMaker {
 public:
  explicit SchemaMaker(Generator& generator) : generator_(generator) {}

  Json root() {
    Json schema = make(3);
    // Definitions are referred to below themselves, where another value is always possible.
    Json tree = {
        {"type", "object"},
        {"properties", {{"label", make(0)}, {"next", {{"anyOf", {nullptr_schema(), tree_ref()}}}}}},
        {"required", {"label"}}};
    if (schema.is_object()) schema["$defs"] = {{"tree", tree}, {"leaf", make(0)}};
    return schema;
  }

 private:
  static Json nullptr_schema() { return {{"type", "null"}}; }
  static Json tree_ref() { return {{"$ref", "#/$defs/tree"}}; }

  int below(int bound) { return static_cast<int>(generator_.below(static_cast<uint64_t>(bound))); }
  bool coin() { return below(2) == 0; }

  Json make(int depth) {
    switch (below(depth > 0 ? 13 : 9)) {
      case 0:
        return integer();
      case 1:
        return number();
      case 2:
      case 3:
        return string();
      case 4:
        return {{"type", coin() ? Json("boolean") : Json({"null", "integer"})}};
      case 5:
        return {{"enum", {"red", "gr\"n", 3, nullptr, Json::array({1, "x"})}}};
      case 6:
        return {{"const", coin() ? Json("caf\xC3\xA9\n") : Json(-12)}};
      case 7:
        return {{"$ref", coin() && is_inside_ ? "#/$defs/tree" : "#/$defs/leaf"}};
      case 8:
        return coin() ? Json(true) : Json{{"description", "anything"}};
      case 9:
        return {{"anyOf", {make(depth - 1), make(depth - 1)}}};
      case 10:
        return list(depth);
      default:
        return object(depth);
    }
  }

  Json integer() {
    Json schema{{"type", "integer"}};
    const int low = below(300) - 150;
    if (coin()) schema[coin() ? "minimum" : "exclusiveMinimum"] = low;
    if (coin()) schema[coin() ? "maximum" : "exclusiveMaximum"] = low + 3 + below(2000);
    return schema;
  }

  Json number() {
    Json schema{{"type", "number"}};
    const double low = (below(400) - 200) / 8.0;
    if (coin()) schema[coin() ? "minimum" : "exclusiveMinimum"] = low;
    if (coin()) schema[coin() ? "maximum" : "exclusiveMaximum"] = low + 3 + below(100) / 4.0;
    return schema;
  }

  Json string() {
    Json schema{{"type", "string"}};
    static const char* const kPatterns[] = {"^[a-z]{2,4}$", "\\d",    "^(ab|c)+x?$",
                                            "^[^a-z]*$",    "0.1|^z", "^\\w+@\\w+\\.[a-z]{2,3}$"};
    static const char* const kFormats[] = {"date", "time", "date-time", "uuid", "ipv4"};
    switch (below(4)) {
      case 0:
        schema["pattern"] = kPatterns[below(std::size(kPatterns))];
        break;
      case 1:
        schema["format"] = kFormats[below(std::size(kFormats))];
        break;
      default: {
        const int low = below(4);
        if (coin()) schema["minLength"] = low;
        if (coin()) schema["maxLength"] = low + below(9);
      }
    }
    return schema;
  }

  Json list(int depth) {
    Json schema{{"type", "array"}};
    const int low = below(3);
    if (coin()) schema["items"] = make(depth - 1);
    if (coin()) schema["minItems"] = low;
    if (coin()) schema["maxItems"] = low + below(4);
    return schema;
  }

  Json object(int depth) {
    static const char* const kNames[] = {"a", "ab", "b\"c", "caf\xC3\xA9", "long_name", "d"};
    Json schema{{"type", "object"}};
    Json properties = Json::object();
    Json required = Json::array();
    const bool was_inside = std::exchange(is_inside_, true);
    for (const char* name : kNames) {
      if (below(3) == 0) continue;
      properties[name] = make(depth - 1);
      if (coin()) required.push_back(name);
    }
    if (below(3) > 0)
      schema["properties"] = properties;
    else
      required = Json::array({"other"});
    if (!required.empty()) schema["required"] = required;
    if (coin()) schema["additionalProperties"] = coin() ? Json(true) : make(depth - 1);
    is_inside_ = was_inside;
    return schema;
  }

  Generator& generator_;
  bool is_inside_ = false;
};

void check_schemas(const Tokenizer& tokenizer, int num_schemas, int walks_each) {
  const auto vocabulary = vocabulary_of(tokenizer);
  int num_refused = 0;
  for (int seed = 0; seed < num_schemas; ++seed) {
    Generator generator(static_cast<uint64_t>(seed));
    const Json schema = SchemaMaker(generator).root();
    SCOPED_TRACE(fmt::format("seed {}: {}", seed, to_text(schema)));
    std::shared_ptr<Grammar> grammar;
    try {
      grammar = std::make_shared<Grammar>(parse_json_schema(to_text(schema), true), vocabulary);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kInvalidArgument);
      ++num_refused;
      continue;
    }
    const SchemaCheck check(schema);
    for (int walk = 0; walk < walks_each; ++walk) {
      const std::vector<int32_t> ids = random_walk(grammar, generator, 40);
      if (testing::Test::HasFailure()) return;
      const std::string text = tokenizer.decode(ids, true);
      Json value;
      ASSERT_NO_THROW(value = Json::parse(text)) << text;
      ASSERT_TRUE(check.fits(value)) << text;
    }
  }
  // Ranges without a number, and definitions that are not there in a schema of one truth value.
  EXPECT_LT(num_refused, num_schemas / 5);
}

TEST(JsonSchemaProperty, AnswersFitTheirSchemas) {
  for (const std::string& name : vocabulary_names()) {
    SCOPED_TRACE(name);
    check_schemas(*open_vocabulary(name), 100, 4);
  }
}

// The validator can say no.
TEST(JsonSchemaProperty, TheValidatorRefuses) {
  const SchemaCheck check(Json::parse(R"({"type": "object", "properties": {"a": {"minimum": 3},
      "d": {"format": "date"}, "s": {"pattern": "^x", "maxLength": 2}},
      "required": ["a"], "additionalProperties": {"type": "null"}})"));
  EXPECT_TRUE(check.fits(Json::parse(R"({"a": 3, "d": "2024-02-29", "s": "x\u00e9", "z": null})")));
  for (const char* text :
       {"[]", "{}", R"({"a": 2})", R"({"a": 3, "d": "2023-02-29"})", R"({"a": 3, "s": "ax"})",
        R"({"a": 3, "s": "xxx"})", R"({"a": 3, "z": 1})"}) {
    EXPECT_FALSE(check.fits(Json::parse(text))) << text;
  }
}

}  // namespace
}  // namespace llava::text::grammar
