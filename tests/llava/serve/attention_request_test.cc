// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/attention/attention_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

using ::testing::HasSubstr;

/// A chat about a picture that ends with an answer, with further members.
OrderedJson body(const OrderedJson& members = OrderedJson::object()) {
  OrderedJson body = OrderedJson::parse(R"({"messages": [
      {"role": "user", "content": [{"type": "image", "data": "AAAA"}, {"type": "text", "text": "?"}]},
      {"role": "assistant", "content": "A dot."}]})");
  body.update(members);
  return body;
}

void expect_refusal(const OrderedJson& body, const std::string& param, const std::string& words) {
  try {
    read_attention_request(body, {});
    ADD_FAILURE() << "taken: " << body;
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 400);
    EXPECT_EQ(error.param(), param) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(words));
  }
}

TEST(AttentionRequest, IsAChatThatIsContinued) {
  const AttentionRequest request =
      read_attention_request(body({{"continue_final_message", false}, {"stream", true}}), {});
  EXPECT_TRUE(request.chat.continues_last);
  EXPECT_EQ(request.chat.turns.back().role, ChatTurn::Role::kAssistant);
  EXPECT_EQ(request.chat.images.size(), 1u);
  EXPECT_EQ(request.layer, model::kAllLayers);
  EXPECT_FALSE(request.tokens.has_value());
  EXPECT_FALSE(request.is_base64);
}

TEST(AttentionRequest, HasFieldsOfItsOwn) {
  const AttentionRequest request = read_attention_request(
      body({{"layer", 3}, {"tokens", {1, 4}}, {"encoding_format", "base64"}}), {});
  EXPECT_EQ(request.layer, 3);
  EXPECT_EQ(request.tokens, std::make_pair(1, 4));
  EXPECT_TRUE(request.is_base64);
  EXPECT_TRUE(request.chat.unknown_fields.empty());
}

// What would only be refused or limited where something is generated.
TEST(AttentionRequest, TakesNoSettingsOfAnAnswer) {
  const AttentionRequest request = read_attention_request(
      body({{"max_tokens", 5}, {"n", 3}, {"logprobs", true}, {"cache_salt", "s"}, {"odd", 1}}), {});
  EXPECT_FALSE(request.chat.generation.max_tokens.has_value());
  EXPECT_EQ(request.chat.generation.num_choices, 1);
  EXPECT_EQ(request.chat.num_top_logprobs, -1);
  EXPECT_EQ(request.chat.generation.cache_salt, "s");
  EXPECT_EQ(request.chat.unknown_fields, std::vector<std::string>{"odd"});
}

TEST(AttentionRequest, RefusalsNameTheField) {
  expect_refusal(body({{"layer", -1}}), "layer", "layer");
  expect_refusal(body({{"layer", "all"}}), "layer", "layer");
  for (const OrderedJson& range :
       {OrderedJson{1}, OrderedJson{1, 2, 3}, OrderedJson{4, 4}, OrderedJson{5, 2},
        OrderedJson("all"), OrderedJson::object({{"begin", 0}})}) {
    expect_refusal(body({{"tokens", range}}), "tokens", "expected [begin, end]");
  }
  for (const int64_t begin : {int64_t{-1}, int64_t{1} - (int64_t{1} << 32), int64_t{1} << 40}) {
    expect_refusal(body({{"tokens", {begin, 2}}}), "tokens", "expected [begin, end]");
  }
  expect_refusal(body({{"encoding_format", 3}}), "encoding_format", "encoding_format");
  expect_refusal({{"messages", {{{"role", "user"}, {"content", "?"}}}}}, "messages",
                 "has to be the assistant's");
  expect_refusal({{"messages", {5}}}, "messages", "has to be the assistant's");
  expect_refusal(
      {{"messages",
        {{{"role", "user"}, {"content", "?"}}, {{"role", "assistant"}, {"content", "!"}}}}},
      "messages", "shows a picture");
  expect_refusal(OrderedJson::object(), "messages", "is missing");
}

}  // namespace
}  // namespace llava::serve
