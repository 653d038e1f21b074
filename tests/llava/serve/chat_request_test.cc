// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/chat_request.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

using Role = ChatTurn::Role;
using text::grammar::OutputFormat;

ChatRequest read(const std::string& body) { return read_chat_request(parse_body(body), {}); }

/// Code and field of the error that a body gives.
std::string error_of(const std::string& body) {
  try {
    read(body);
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 400);
    return error.code() + " " + error.param();
  }
  return "none";
}

/// A body with one question and these further members.
std::string with(const std::string& members) {
  return R"({"messages": [{"role": "user", "content": "Hi"}], )" + members + "}";
}

std::string text_of(const ChatTurn& turn) {
  std::string text;
  for (const ContentPart& part : turn.parts) {
    text += part.image < 0 ? part.text : fmt::format("[{}]", part.image);
  }
  return text;
}

TEST(ChatRequest, TextsAndPictures) {
  const ChatRequest request = read(R"({"model": "m", "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [
          {"type": "text", "text": "What is "},
          {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
          {"type": "image_url", "image_url": "AAAA"},
          {"type": "image", "data": "BBBB"},
          {"type": "text", "text": " this?"}]},
      {"role": "assistant", "content": "A cat."},
      {"role": "user", "content": "Sure?"}]})");
  EXPECT_EQ(request.model, "m");
  ASSERT_EQ(request.turns.size(), 4u);
  EXPECT_EQ(request.turns[0].role, Role::kSystem);
  EXPECT_EQ(text_of(request.turns[1]), "What is [0][1][2] this?");
  EXPECT_EQ(text_of(request.turns[3]), "Sure?");
  ASSERT_EQ(request.images.size(), 3u);
  EXPECT_TRUE(request.images[0].is_low_detail);
  EXPECT_EQ(request.images[0].param, "messages[1].content[1].image_url.url");
  EXPECT_EQ(request.images[1].location, "AAAA");
  EXPECT_EQ(request.images[2].param, "messages[1].content[3].data");
}

TEST(ChatRequest, NeighboursOfOneRoleAreJoinedAndSystemTurnsStandFirst) {
  const ChatRequest request = read(R"({"messages": [
      {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
      {"role": "developer", "content": "x"},
      {"role": "assistant", "content": "c"}, {"role": "assistant", "content": "d"},
      {"role": "system", "content": "y"},
      {"role": "user", "content": "e"}]})");
  ASSERT_EQ(request.turns.size(), 4u);
  EXPECT_EQ(text_of(request.turns[0]), "x\ny");
  EXPECT_EQ(text_of(request.turns[1]), "a\nb");
  EXPECT_EQ(text_of(request.turns[2]), "c\nd");
}

TEST(ChatRequest, Generation) {
  const GenerationFields fields =
      read(with(R"("max_tokens": 7, "max_completion_tokens": 5, "temperature": 0.5, "top_p": 0.9,
                   "top_k": 3, "min_p": 0.1, "seed": -1, "stop": ["a", "", "b"], "n": 2,
                   "logit_bias": {"5": -100, "7": 1.5}, "presence_penalty": 1, "stream": true,
                   "stream_options": {"include_usage": true}, "user": "x", "ignore_eos": true,
                   "stop_token_ids": [3], "min_tokens": 2, "cache_salt": "s", "timings": true)"))
          .generation;
  EXPECT_EQ(fields.max_tokens, 5);
  EXPECT_EQ(fields.temperature, 0.5f);
  EXPECT_EQ(fields.top_k, 3);
  EXPECT_EQ(fields.seed, UINT64_MAX);
  EXPECT_EQ(fields.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(fields.num_choices, 2);
  EXPECT_EQ(fields.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.0f}, {7, 1.5f}}));
  EXPECT_TRUE(fields.is_streamed && fields.includes_usage && fields.ignore_eos);
  EXPECT_EQ(fields.cache_salt, "s");
}

TEST(ChatRequest, NullIsAbsent) {
  const ChatRequest request = read(with(R"("stop": null, "max_tokens": null, "logprobs": null,
      "response_format": null, "stream_options": null, "tools": null)"));
  EXPECT_EQ(request.generation.max_tokens, std::nullopt);
  EXPECT_EQ(request.num_top_logprobs, -1);
}

TEST(ChatRequest, Logprobs) {
  EXPECT_EQ(read(with(R"("logprobs": true)")).num_top_logprobs, 0);
  EXPECT_EQ(read(with(R"("logprobs": true, "top_logprobs": 3)")).num_top_logprobs, 3);
  EXPECT_EQ(error_of(with(R"("top_logprobs": 3)")), "invalid_value top_logprobs");
  EXPECT_EQ(error_of(with(R"("logprobs": true, "top_logprobs": 21)")),
            "invalid_value top_logprobs");
}

TEST(ChatRequest, Formats) {
  const auto format = [](const std::string& members) {
    return read(with(members)).generation.format;
  };
  EXPECT_FALSE(format(R"("response_format": {"type": "text"})"));
  EXPECT_EQ(format(R"("response_format": {"type": "json_object"})")->kind,
            OutputFormat::Kind::kJsonObject);
  const auto schema = format(R"("response_format": {"type": "json_schema",
      "json_schema": {"name": "x", "schema": {"b": 1, "a": 2}, "strict": true}})");
  EXPECT_EQ(schema->kind, OutputFormat::Kind::kJsonSchema);
  EXPECT_EQ(schema->text, R"({"b":1,"a":2})");
  EXPECT_TRUE(schema->is_strict);
  EXPECT_EQ(format(R"("guided_regex": "a+")")->kind, OutputFormat::Kind::kRegex);
  EXPECT_EQ(format(R"("guided_choice": ["x", "y"])")->choices.size(), 2u);
  EXPECT_EQ(format(R"("grammar": "root ::= \"a\"")")->kind, OutputFormat::Kind::kGbnf);
  EXPECT_EQ(error_of(with(R"("response_format": {"type": "xml"})")),
            "invalid_value response_format.type");
  EXPECT_EQ(error_of(with(R"("response_format": {"type": "json_schema"})")),
            "invalid_value response_format.json_schema");
}

TEST(ChatRequest, ErrorsNameTheField) {
  const std::pair<std::string, const char*> kCases[] = {
      {"{", "invalid_json "},
      {"[]", "invalid_json "},
      {"", "invalid_json "},
      {"\xFF", "invalid_json "},
      {R"({"messages": [], "messages": []})", "invalid_json "},
      {R"({"a": )" + std::string(70, '[') + std::string(70, ']') + "}", "invalid_json "},
      {R"({"a": "\ud800"})", "invalid_json "},
      {R"({"a": NaN})", "invalid_json "},
      {"{}", "missing_field messages"},
      {R"({"messages": 1})", "invalid_value messages"},
      {R"({"messages": []})", "invalid_value messages"},
      {R"({"messages": ["x"]})", "invalid_value messages[0]"},
      {R"({"messages": [{"content": "x"}]})", "invalid_value messages[0].role"},
      {R"({"messages": [{"role": "robot", "content": "x"}]})", "invalid_value messages[0].role"},
      {R"({"messages": [{"role": "tool", "content": "x"}]})",
       "unsupported_parameter messages[0].role"},
      {R"({"messages": [{"role": "user"}]})", "invalid_value messages[0].content"},
      {R"({"messages": [{"role": "user", "content": 5}]})", "invalid_value messages[0].content"},
      {R"({"messages": [{"role": "user", "content": [{"type": "audio"}]}]})",
       "invalid_value messages[0].content[0].type"},
      {R"({"messages": [{"role": "assistant", "content": "x"}]})", "invalid_value messages"},
      {R"({"messages": [{"role": "system", "content": "x"}]})", "invalid_value messages"},
      {R"({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]})",
       "invalid_value messages"},
      {with(R"("temperature": "0.5")"), "invalid_value temperature"},
      {with(R"("temperature": 3)"), "invalid_value temperature"},
      {with(R"("top_p": -0.1)"), "invalid_value top_p"},
      {with(R"("max_tokens": 0)"), "invalid_value max_tokens"},
      {with(R"("max_tokens": 1.5)"), "invalid_value max_tokens"},
      {with(R"("max_tokens": 1e300)"), "invalid_value max_tokens"},
      {with(R"("n": 9)"), "invalid_value n"},
      {with(R"("seed": 18446744073709551615)"), "invalid_value seed"},
      {with(R"("stop": [1])"), "invalid_value stop"},
      {with(R"("logit_bias": {"x": 1})"), "invalid_value logit_bias"},
      {with(R"("logit_bias": {"1": 101})"), "invalid_value logit_bias.1"},
      {with(R"("stream_options": {"include_usage": true})"), "invalid_value stream_options"},
      {with(R"("tools": [{}])"), "unsupported_parameter tools"},
      {with(R"("tool_choice": "required")"), "unsupported_parameter tool_choice"},
      {with(R"("mm_processor_kwargs": {"x": 1})"), "invalid_value mm_processor_kwargs.x"},
      {with(R"("continue_final_message": true)"), "invalid_value continue_final_message"},
  };
  for (const auto& [body, expected] : kCases) EXPECT_EQ(error_of(body), expected) << body;
  EXPECT_EQ(error_of(with(R"("tools": [], "tool_choice": "none")")), "none");
}

TEST(ChatRequest, ToolsAreRefusedOrPassedOver) {
  const std::string offered = with(R"("tools": [{}], "tool_choice": "auto")");
  EXPECT_EQ(error_of(offered), "unsupported_parameter tools");
  const ChatLimits kind{.generation = {}, .ignores_tools = true};
  EXPECT_EQ(read_chat_request(parse_body(offered), kind).turns.size(), 1u);
  for (const char* choice : {R"("required")", R"({"type": "function"})"}) {
    const std::string demanded = with(fmt::format(R"("tools": [{{}}], "tool_choice": {})", choice));
    EXPECT_THROW(read_chat_request(parse_body(demanded), kind), ApiError) << choice;
  }
}

TEST(ChatRequest, BoundsPictures) {
  std::string parts;
  for (int i = 0; i < 9; ++i) parts += R"({"type": "image", "data": "AA"},)";
  EXPECT_EQ(error_of(R"({"messages": [{"role": "user", "content": [)" + parts +
                     R"({"type": "text", "text": "x"}]}]})"),
            "too_many_images messages[0].content[8].data");
  EXPECT_EQ(error_of(R"({"messages": [{"role": "user", "content": "x"}, {"role": "assistant",
      "content": [{"type": "image", "data": "AA"}]}, {"role": "user", "content": "y"}]})"),
            "invalid_value messages[1].content[0].data");
}

TEST(ChatRequest, UnknownFieldsAreNoted) {
  EXPECT_EQ(read(with(R"("frobnicate": 1)")).unknown_fields,
            std::vector<std::string>{"frobnicate"});
}

}  // namespace
}  // namespace llava::serve
