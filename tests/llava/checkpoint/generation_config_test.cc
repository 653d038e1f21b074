// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/generation_config.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"
#include "llava/core/json.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

using llava::testing::expect_error;

class GenerationConfig : public llava::testing::TemporaryFolder {};

TEST_F(GenerationConfig, ReadsEveryKey) {
  write("generation_config.json", R"({"do_sample":true,"temperature":0.9,"top_k":40,"top_p":0.6,
      "num_beams":3,"repetition_penalty":1.1,"length_penalty":-1,"early_stopping":"never",
      "max_length":4096,"max_new_tokens":64,"bos_token_id":1,"eos_token_id":[2,7],
      "pad_token_id":null,"transformers_version":"4.31.0"})");
  write("config.json", R"({"max_length":7,"pad_token_id":3})");
  const auto d = read_generation_defaults(folder_);
  EXPECT_EQ(d.do_sample, true);
  EXPECT_EQ(d.temperature, 0.9);
  EXPECT_EQ(d.top_k, 40);
  EXPECT_EQ(d.top_p, 0.6);
  EXPECT_EQ(d.num_beams, 3);
  EXPECT_EQ(d.repetition_penalty, 1.1);
  EXPECT_EQ(d.length_penalty, -1.0);
  EXPECT_EQ(d.early_stopping, false);
  EXPECT_EQ(d.max_length, 4096);
  EXPECT_EQ(d.max_new_tokens, 64);
  EXPECT_EQ(d.bos_token_id, 1);
  EXPECT_EQ(d.eos_token_ids, (std::vector<int32_t>{2, 7}));
  EXPECT_EQ(d.pad_token_id, std::nullopt);
}

TEST_F(GenerationConfig, FallsBackToTheModelsConfig) {
  EXPECT_EQ(read_generation_defaults(folder_).max_length, std::nullopt);
  write("config.json",
        R"({"max_length":7,"eos_token_id":null,"text_config":{"eos_token_id":9,"max_length":8}})");
  const auto d = read_generation_defaults(folder_);
  EXPECT_EQ(d.max_length, 7);
  EXPECT_EQ(d.eos_token_ids, std::vector<int32_t>{9});
  EXPECT_EQ(d.do_sample, std::nullopt);
}

TEST_F(GenerationConfig, NamesTheKeyOfAWrongValue) {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"temperature", "-1"},
                                                        {"top_p", "1.5"},
                                                        {"top_k", "-1"},
                                                        {"num_beams", "0"},
                                                        {"repetition_penalty", "0"},
                                                        {"do_sample", "1"},
                                                        {"max_length", "\"x\""},
                                                        {"eos_token_id", "[true]"},
                                                        {"early_stopping", "\"soon\""}}) {
    const Json json = parse_json("{\"" + key + "\":" + value + "}", "g.json");
    expect_error(ErrorCode::kBadFormat, {"g.json", "'" + key + "'"},
                 [&] { read_generation_defaults(json, "g.json"); });
  }
}

// What transformers' validator refuses to write, and what it accepts.
TEST_F(GenerationConfig, SamplingSettingsGetDoSample) {
  const auto consistent = [](const char* text) {
    return to_text(consistent_generation_config(parse_ordered_json(text, "g.json")));
  };
  // Vicuna 1.5
  EXPECT_EQ(consistent(R"({"eos_token_id":2,"temperature":0.9,"top_p":0.6})"),
            R"({"eos_token_id":2,"temperature":0.9,"top_p":0.6,"do_sample":true})");
  EXPECT_EQ(consistent(R"({"do_sample":false,"top_k":10})"), R"({"do_sample":true,"top_k":10})");
  for (const char* text :
       {R"({"do_sample":true,"temperature":0.9})", R"({"temperature":1.0,"top_p":1.0,"top_k":50})",
        R"({"do_sample":false,"temperature":null})", R"({})"}) {
    EXPECT_EQ(consistent(text), text);
  }
}

}  // namespace
}  // namespace llava::checkpoint
