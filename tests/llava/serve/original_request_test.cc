// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/original_request.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "llava/core/base64.h"
#include "llava/image/decode.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

const char* const kHuman =
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions.";

std::string picture_part() {
  return fmt::format(
      R"({{"type": "image_url", "image_url": {{"url": "data:image/png;base64,{}"}}}})",
      encode_base64(image::encode_png(image::RgbImage({4, 3}))));
}

/// A picture with question Q1, answered with A1, and question Q2; or its first turn.
std::string dialogue(int num_turns, const std::string& members = "") {
  std::string messages = fmt::format(
      R"({{"role": "user", "content": [{{"type": "text", "text": "Q1\n<image>"}}, {}]}})",
      picture_part());
  if (num_turns == 2) {
    messages += R"(, {"role": "assistant", "content": "A1"}, {"role": "user", "content": "Q2"})";
  }
  return fmt::format(R"({{"messages": [{}]{}}})", messages, members);
}

OriginalRequest chat(const std::string& body, const std::string& model) {
  return translate_chat(parse_ordered_json(body, "body"), model);
}

// Source: serving.md 4.3, the original's own output.
TEST(OriginalRequest, PromptsAreTheWebServers) {
  const auto prompt = [](const std::string& model, int num_turns) {
    return chat(dialogue(num_turns), model).prompt;
  };
  EXPECT_EQ(prompt("llava-v1.5-7b", 1), std::string(kHuman) + " USER: <image>\nQ1 ASSISTANT:");
  EXPECT_EQ(prompt("LLaVA-V1.5-13b", 2),
            std::string(kHuman) + " USER: <image>\nQ1 ASSISTANT: A1</s>USER: Q2 ASSISTANT:");
  EXPECT_EQ(prompt("llava-7b", 2),
            std::string(kHuman) + "###Human: <image>\nQ1###Assistant: A1###Human: Q2###Assistant:");
  EXPECT_TRUE(prompt("llava-v1-mmtag", 1)
                  .ends_with(" USER: <Image><image></Image> ASSISTANT: Received.</s>USER: Q1 "
                             "ASSISTANT:"));
  EXPECT_EQ(prompt("llava-v1.6-mistral-7b", 2),
            "[INST] <image>\nQ1 [/INST] A1 </s>[INST] Q2 [/INST]");
  EXPECT_TRUE(prompt("llava-llama-2-13b", 2)
                  .ends_with("using natural language.\n<</SYS>>\n\n<image>\nQ1 [/INST] A1 "
                             "</s><s>[INST] Q2 [/INST]"));
  EXPECT_EQ(prompt("llava-v1.6-34b", 1),
            "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nQ1"
            "<|im_end|><|im_start|>assistant\n");
  // Templates that the original names and lacks.
  EXPECT_EQ(prompt("llava-mistral-orca", 1), prompt("llava-v1.6-34b", 1));
  EXPECT_TRUE(prompt("mpt-7b", 1).starts_with("<|im_start|>system\nA conversation"));
}

TEST(OriginalRequest, TheBodyIsTheWebServers) {
  const OriginalRequest request =
      chat(dialogue(1, R"(, "temperature": 0.2, "top_p": 0.7, "max_tokens": 5000, "stream": true,
                          "stop": ["Q"], "stream_options": {"include_usage": true})"),
           "llava-v1.5-7b");
  const Json body = parse_json(request.body, "body");
  EXPECT_EQ(body["model"], "llava-v1.5-7b");
  EXPECT_EQ(body["prompt"].get<std::string>(), request.prompt);
  EXPECT_FLOAT_EQ(body["temperature"].get<float>(), 0.2f);
  EXPECT_FLOAT_EQ(body["top_p"].get<float>(), 0.7f);
  EXPECT_EQ(body["max_new_tokens"], 1024);
  EXPECT_EQ(body["stop"], "</s>");
  EXPECT_EQ(request.stop, (std::vector<std::string>{"</s>", "Q"}));
  EXPECT_TRUE(request.is_streamed);
  EXPECT_TRUE(request.includes_usage);
  ASSERT_EQ(body["images"].size(), 1u);
  EXPECT_TRUE(decode_base64(body["images"][0].get<std::string>()).value().starts_with("\x89PNG"));
  const Json greedy = parse_json(chat(dialogue(1, R"(, "top_p": 0)"), "llava").body, "body");
  EXPECT_EQ(greedy["temperature"], 0.0);
  EXPECT_EQ(greedy["stop"], "###");
}

TEST(OriginalRequest, SystemTextsAndWrittenPlaceholders) {
  const auto prompt = [](const std::string& model) {
    return chat(R"({"messages": [{"role": "system", "content": "S"},
                    {"role": "user", "content": "a <image> b <im<image>age> c"}]})",
                model)
        .prompt;
  };
  EXPECT_EQ(prompt("llava-v1.5"), "S USER: a  b  c ASSISTANT:");
  EXPECT_EQ(prompt("llava-v1.6-34b"),
            "<|im_start|>system\nS<|im_end|><|im_start|>user\na  b  c<|im_end|><|im_start|>"
            "assistant\n");
}

TEST(OriginalRequest, WhatTheProtocolCannotSayIsRefused) {
  for (const char* member :
       {R"("n": 2)", R"("logprobs": true)", R"("top_k": 5)", R"("min_p": 0.1)",
        R"("repetition_penalty": 1.1)", R"("presence_penalty": 1)", R"("frequency_penalty": 1)",
        R"("logit_bias": {"1": 2})", R"("seed": 3)", R"("stop_token_ids": [1])",
        R"("min_tokens": 2)", R"("ignore_eos": true)",
        R"("response_format": {"type": "json_object"})",
        R"("mm_processor_kwargs": {"image_aspect_ratio": "pad"})"}) {
    try {
      chat(dialogue(1, fmt::format(", {}", member)), "llava");
      ADD_FAILURE() << member;
    } catch (const ApiError& error) {
      EXPECT_EQ(error.code(), "unsupported_parameter") << member;
      EXPECT_NE(std::string(member).find(error.param()), std::string::npos) << error.param();
    }
  }
  EXPECT_THROW(chat(R"({"messages": [{"role": "user", "content": "a"},
                        {"role": "assistant", "content": "b"}], "continue_final_message": true})",
                    "llava"),
               ApiError);
}

TEST(OriginalRequest, Completions) {
  const auto complete = [](const std::string& body) {
    return translate_completion(parse_ordered_json(body, "body"), "m");
  };
  const OriginalRequest request = complete(R"({"prompt": "Once", "max_tokens": 5, "stop": ["x"]})");
  EXPECT_EQ(request.prompt, "Once");
  EXPECT_EQ(request.form, OriginalRequest::Form::kCompletion);
  EXPECT_EQ(parse_json(request.body, "")["stop"], "</s>") << "a worker needs one";
  EXPECT_EQ(request.stop, std::vector<std::string>{"x"});
  EXPECT_THROW(complete(R"({"prompt": ["a", "b"]})"), ApiError);
  EXPECT_THROW(complete(R"({"prompt": [1, 2]})"), ApiError);
  EXPECT_THROW(complete(R"({"prompt": "<image>"})"), ApiError);
}

}  // namespace
}  // namespace llava::serve
