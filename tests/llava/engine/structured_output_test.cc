// SPDX-License-Identifier: Apache-2.0
//
// Grammars and the choice of tokens together: whatever the model's logits are, an answer that ends
// fits its schema; and without a grammar nothing is different.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/random.h"
#include "llava/engine/checkpoint_text.h"
#include "llava/engine/token_chooser.h"
#include "llava/text/grammar/json_schema.h"
#include "llava/text/grammar/matcher.h"
#include "llava/text/grammar/schema_check.h"
#include "llava/text/grammar/vocabularies.h"

namespace llava::engine {
namespace {

using text::grammar::Grammar;
using text::grammar::Matcher;
using text::grammar::Vocabulary;

constexpr const char* kSchemas[] = {
    R"({"type": "object"})",
    R"({"type": "object", "properties": {"colour": {"enum": ["red", "dark blue"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 12}, "caption": {"type": "string",
        "maxLength": 30}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["colour", "caption"]})",
    R"({"type": "array", "minItems": 2, "maxItems": 4, "items": {"anyOf": [{"type": "null"},
        {"type": "string", "pattern": "^[A-Z][a-z]+$"}, {"type": "string", "format": "date"}]}})",
    R"({"$defs": {"node": {"type": "object", "properties": {"name": {"type": "string",
        "minLength": 1, "maxLength": 8}, "kids": {"type": "array", "maxItems": 2,
        "items": {"$ref": "#/$defs/node"}}}, "required": ["name"]}}, "$ref": "#/$defs/node"})"};

// Random logits in which what closes a value is likelier, so that answers come to an end.
std::vector<float> random_logits(const Vocabulary& vocabulary, Generator& generator) {
  std::vector<float> logits(static_cast<std::size_t>(vocabulary.num_ids()) + 3);
  for (std::size_t id = 0; id < logits.size(); ++id) {
    logits[id] = static_cast<float>(4 * generator.uniform());
    const std::string_view bytes = vocabulary.bytes(static_cast<int32_t>(id), false);
    if (bytes == "\"" || bytes == "}" || bytes == "]") logits[id] += 7;
  }
  return logits;
}

void check_answers(const text::Tokenizer& tokenizer, int num_seeds) {
  const auto vocabulary = text::grammar::vocabulary_of(tokenizer);
  ChooserScratch scratch;
  int num_complete = 0;
  for (const char* schema : kSchemas) {
    SCOPED_TRACE(schema);
    const auto grammar =
        std::make_shared<Grammar>(text::grammar::parse_json_schema(schema, true), vocabulary);
    const text::grammar::SchemaCheck check(Json::parse(schema));
    for (int seed = 0; seed < num_seeds; ++seed) {
      SCOPED_TRACE(seed);
      const float temperature = seed % 3 == 0 ? 0.0f : 1.0f;
      const TokenChooser first(
          {.temperature = temperature,
           .top_k = seed % 2 == 0 ? 0 : 20,
           .top_p = 0.95f,
           .min_tokens = 3,
           .seed = static_cast<uint64_t>(seed)},
          {.end_ids = {vocabulary->end_ids().begin(), vocabulary->end_ids().end()},
           .num_ids = vocabulary->num_ids()});
      TokenChooser chooser = first;
      Matcher matcher(grammar);
      Generator generator(static_cast<uint64_t>(seed));
      std::vector<int32_t> ids;
      while (!matcher.is_over() && ids.size() < 300) {
        std::vector<float> logits = random_logits(*vocabulary, generator);
        const int32_t id = chooser.choose(logits, scratch, matcher.allowed()).id;
        ASSERT_TRUE(matcher.accept(id));
        chooser.accept(id);
        if (!matcher.is_over()) ids.push_back(id);
      }
      if (!matcher.is_over()) continue;
      ++num_complete;
      const std::string text = tokenizer.decode(ids, true);
      Json value;
      ASSERT_NO_THROW(value = Json::parse(text)) << text;
      ASSERT_TRUE(check.fits(value)) << text;
    }
  }
  EXPECT_GT(num_complete, 2 * num_seeds);
}

TEST(StructuredOutput, FitsTheSchemaInEveryVocabulary) {
  for (const std::string& name : text::grammar::vocabulary_names()) {
    SCOPED_TRACE(name);
    check_answers(*text::grammar::open_vocabulary(name), 30);
  }
}

TEST(StructuredOutput, FitsTheSchemaInTheBundledVocabulary) {
  std::unique_ptr<text::Tokenizer> tokenizer;
  try {
    tokenizer = open_checkpoint_text({}).tokenizer;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    GTEST_SKIP() << error.what();
  }
  check_answers(*tokenizer, 6);
}

TEST(StructuredOutput, AMaskThatAllowsAllChangesNothing) {
  ChooserScratch scratch;
  const std::vector<uint64_t> all(4, ~uint64_t{0});
  for (const float temperature : {0.0f, 0.8f}) {
    const SamplingParams params{.temperature = temperature, .top_k = 40, .top_p = 0.9f, .seed = 3};
    TokenChooser chooser(params, {});
    Generator generator(11);
    for (int step = 0; step < 200; ++step) {
      std::vector<float> logits(200);
      for (float& value : logits) value = static_cast<float>(6 * generator.uniform());
      const int32_t id = chooser.choose(logits, scratch).id;
      ASSERT_EQ(chooser.choose(logits, scratch, all).id, id);
      chooser.accept(id);
    }
  }
}

}  // namespace
}  // namespace llava::engine
