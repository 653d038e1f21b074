// SPDX-License-Identifier: Apache-2.0
//
// E19 in the engine: what answers a random schema fits it, in any company and with guesses ahead,
// and who asks for no schema gets what he would get alone.
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "fake_engine.h"
#include "llava/core/json.h"
#include "llava/text/grammar/output_format.h"
#include "llava/text/grammar/schema_check.h"

namespace llava::engine {
namespace {

using text::grammar::Grammar;
using text::grammar::OutputFormat;
using text::grammar::SchemaCheck;

constexpr int32_t kPictureTokens = 16;

/// A schema whose values are written in digits: that is what the fake tokenizer has.
Json random_schema(Generator& random, int depth = 2) {
  const auto number = [&] { return static_cast<int64_t>(random.below(100'000)); };
  switch (random.below(depth > 0 ? 4 : 3)) {
    case 0: {
      const int64_t low = number();
      return {{"type", "integer"}, {"minimum", low}, {"maximum", low + number()}};
    }
    case 1:
      return {{"enum", {number(), number(), number()}}};
    case 2:
      return {{"const", number()}};
    default:
      return {{"anyOf", {random_schema(random, depth - 1), random_schema(random, depth - 1)}}};
  }
}

std::shared_ptr<Grammar> grammar_of(const Json& schema, const text::Tokenizer& tokenizer) {
  const OutputFormat format{
      .kind = OutputFormat::Kind::kJsonSchema, .text = to_text(schema), .is_strict = true};
  return std::make_shared<Grammar>(text::grammar::syntax_of(format),
                                   std::make_shared<const text::grammar::Vocabulary>(
                                       tokenizer, std::vector<int32_t>{0}, kFakeVocabulary));
}

/// The text of an answer without its end token, which the fake tokenizer writes as well.
std::string text_of(const FakeAnswer& answer, const text::Tokenizer& tokenizer) {
  return tokenizer.decode(std::span(answer.ids).first(answer.ids.size() - 1), true);
}

TEST(EngineGrammar, AnswersFitRandomSchemasAndOthersAreUntouched) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FakeEngine fake(8192);
    fake.config.max_draft_tokens = seed % 2 == 0 ? 4 : 0;
    fake.config.scheduler.chunked_prefill_size = 32;
    fake.start();
    Generator random(seed);
    struct Asked {
      GenerationRequest request;
      Json schema;  // null: none
      std::shared_ptr<AnswerStream> stream;
    };
    std::vector<Asked> all;
    for (int i = 0; i < 40; ++i) {
      Asked asked{
          .request = random_request(random, kPictureTokens, 4, 60), .schema = {}, .stream = {}};
      if (i % 2 == 0) {
        asked.schema = random_schema(random);
        asked.request.grammar = grammar_of(asked.schema, fake.tokenizer);
        asked.request.params.max_new_tokens = 80;  // longer than any number with its spaces
      }
      asked.stream = fake.engine->submit(asked.request);
      all.push_back(std::move(asked));
    }
    for (Asked& asked : all) {
      const FakeAnswer answer = read_all(*asked.stream).front();
      if (asked.schema.is_null()) {
        const FakeAnswer expected = answer_alone(asked.request);
        EXPECT_EQ(answer.ids, expected.ids);
        EXPECT_EQ(answer.logprobs, expected.logprobs);
        continue;
      }
      EXPECT_EQ(answer.finish_reason, FinishReason::kEndToken);
      ASSERT_EQ(answer.ids.back(), 0);
      const std::string text = text_of(answer, fake.tokenizer);
      const Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
      EXPECT_TRUE(SchemaCheck(asked.schema).fits(value)) << text << " for " << asked.schema;
    }
  }
}

}  // namespace
}  // namespace llava::engine
