// SPDX-License-Identifier: Apache-2.0
//
// `llava bench`: what it reports about tiny models, its dialogue, and what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "program.h"

namespace llava::testing {
namespace {

using ::testing::HasSubstr;

using Strings = std::vector<std::string>;

const Strings kTiny{"bench", "--shape", "tiny", "--repeats", "2"};

std::vector<Json> lines_of(const std::string& text) {
  std::vector<Json> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(parse_json(line, "line"));
  return result;
}

TEST(Bench, EveryFormIsCheckedAndTimed) {
  for (const char* form :
       {"float32", "bfloat16", "float16", "q4", "q4_min", "q8", "q8_min", "q8_half"}) {
    SCOPED_TRACE(form);
    const Json found = json_of(run_llava(kTiny + Strings{"--lm", form, "--json"}));
    EXPECT_EQ(found.at("lm"), form);
    EXPECT_EQ(found.at("checks").size(), 3u);
    for (const Json& check : found.at("checks")) EXPECT_EQ(check.at("difference"), 0.0) << check;
    EXPECT_EQ(found.at("cases").size(), 11u);
    for (const Json& one : found.at("cases")) {
      const auto name = one.at("case").get<std::string>();
      const bool has_steps = name.starts_with("decode") || name.starts_with("batch");
      EXPECT_EQ(one.at("ms").size(), has_steps ? 16u : 2u) << name;
      EXPECT_GT(one.at("min_ms"), 0.0);
      EXPECT_LE(one.at("min_ms"), one.at("median_ms"));
      EXPECT_LE(one.at("median_ms"), one.at("max_ms"));
    }
    EXPECT_GE(found.at("memory").at("peak_bytes"), found.at("weight_bytes"));
  }
}

TEST(Bench, BytesFollowTheForm) {
  const auto bytes_in = [](const char* form) {
    const Json found =
        json_of(run_llava({"bench", "--shape", "tiny", "--json", "--cases", "prefill:8", "--lm",
                           form, "--vision", "float32", "--projector", "float32"}));
    return found.at("weight_bytes").get<int64_t>();
  };
  const int64_t whole = bytes_in("float32");
  // Matrices of decoder and head: 2 layers, width 64, 4 and 2 heads of 16, feed-forward of 192, 512
  // tokens.
  constexpr int64_t kMatrices =
      2 * (64 * 64 + 2 * 32 * 64 + 64 * 64 + 3 * 192 * 64) + int64_t{512} * 64;
  constexpr int64_t kTable = int64_t{512} * 64;
  constexpr int64_t kNorms = 5 * 64;
  EXPECT_EQ(whole - bytes_in("bfloat16"), 2 * (kMatrices + kTable + kNorms));
  // The table is float16 beside packed matrices.
  EXPECT_EQ(whole - bytes_in("q8"), kMatrices * 4 - kMatrices / 32 * 34 + 2 * kTable);
  EXPECT_EQ(whole - bytes_in("q4"), kMatrices * 4 - kMatrices / 32 * 18 + 2 * kTable);
}

TEST(Bench, ACheckpointIsMeasuredLikeARandomModel) {
  const Json found = json_of(run_llava({"bench", "--model-path", golden_model("llava-v1.5-pad"),
                                        "--cases", "prefill:20,encode,first_token:9", "--json"}));
  EXPECT_EQ(found.at("model"), "llava-v1.5-pad");
  EXPECT_GT(found.at("load_ms"), 0.0);
  EXPECT_EQ(found.at("cases").size(), 3u);
  EXPECT_GT(found.at("cases")[2].at("encode_median_ms"), 0.0);
  EXPECT_LT(found.at("cases")[2].at("encode_median_ms"), found.at("cases")[2].at("median_ms"));
}

TEST(Bench, TheTableHasALineForEachCase) {
  const ProcessResult result = run_llava(kTiny + Strings{"--cases", "prefill:32,batch:4"});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("model        random tiny\n"));
  EXPECT_THAT(result.out, HasSubstr("cached step equals whole prompt: exactly\n"));
  EXPECT_THAT(result.out, HasSubstr("\nprefill:32 "));
  EXPECT_THAT(result.out, HasSubstr("\nbatch:4 "));
  EXPECT_THAT(result.out, HasSubstr("\npeak memory "));
}

TEST(Bench, CommandsAreAnsweredOneByOne) {
  const ProcessResult result = run_llava(
      kTiny + Strings{"--cases", "-"},
      "prefill:64\ndecode:70\nbatch:3\ndecode:70\nencode\nfirst_token:12\nsecond_question:12\n"
      "greedy:5:1,2,3\nprefill:9\ngreedy:5:1,2,3\nmemory\n");
  EXPECT_EQ(result.status, 0) << result.err;
  const std::vector<Json> lines = lines_of(result.out);
  ASSERT_EQ(lines.size(), 12u);
  EXPECT_EQ(lines[0].at("model"), "random tiny");
  const std::size_t counts[] = {1, 8, 8, 8, 1, 1, 1};
  for (std::size_t i = 0; i < std::size(counts); ++i) {
    EXPECT_EQ(lines[i + 1].at("ms").size(), counts[i]) << i;
  }
  // The picture is encoded for the first question only.
  EXPECT_GT(lines[6].at("encode_ms"), 0.0);
  EXPECT_FALSE(lines[7].contains("encode_ms")) << lines[7];
  EXPECT_EQ(lines[8].at("ids").size(), 5u);
  EXPECT_EQ(lines[8], lines[10]);
  EXPECT_GT(lines[11].at("peak_bytes"), 0);
}

// The values are those of `llava image`, which is held to the published processors.
TEST(Bench, PicturesArePreparedAsTheProgramDoes) {
  const std::string picture = golden_image("landscape_96x64.jpg");
  const ProcessResult result =
      run_llava(kTiny + Strings{"--cases", "-"}, "preprocess:" + picture + "\n");
  EXPECT_EQ(result.status, 0) << result.err;
  const std::filesystem::path config =
      std::filesystem::path(::testing::TempDir()) / "bench_test_processor.json";
  std::ofstream(config) << R"({"image_processor_type": "CLIPImageProcessor", "size": 336,
                               "crop_size": 336})";
  const Json expected =
      json_of(run_llava({"image", picture, "--tower-config", config.string(), "--json"}));
  std::filesystem::remove(config);
  EXPECT_EQ(lines_of(result.out).at(1).at("sha256"), expected.at("pixel_values").at("sha256"));
  EXPECT_EQ(expected.at("pixel_values").at("shape"), Json::array({1, 3, 336, 336}));
}

TEST(Bench, WhatCannotBeIsNamed) {
  const auto message = [](const Strings& flags) {
    return error_of(run_llava(Strings{"bench", "--json"} + flags), 2, "invalid_argument");
  };
  EXPECT_THAT(message({"--shape", "8b"}), HasSubstr("shape '8b' is unknown, expected one of 7b"));
  EXPECT_THAT(message({"--shape", "tiny", "--lm", "int8"}), HasSubstr("--lm is 'int8', expected"));
  EXPECT_THAT(message({"--shape", "tiny", "--model-path", "x"}), HasSubstr("choose one"));
  for (const char* wrong : {"prefil:8", "prefill", "prefill:0", "prefill:x", "prefill:8x",
                            "encode:1", "decode:99999999", ""}) {
    EXPECT_THAT(message({"--shape", "tiny", "--cases", std::string("encode,") + wrong}),
                HasSubstr(fmt::format("case '{}' is unknown", wrong)));
  }
  EXPECT_THAT(message({"--model-path", golden_model("base-vicuna"), "--cases", "encode"}),
              HasSubstr("needs a vision tower"));
}

TEST(Bench, ATokenBeyondTheVocabularyIsRefused) {
  const ProcessResult result =
      run_llava({"bench", "--shape", "tiny", "--cases", "-"}, "greedy:3:1,2\ngreedy:1:512\n");
  EXPECT_EQ(result.status, 2);
  EXPECT_THAT(result.err, HasSubstr("'512' is no list of numbers below 512"));
}

}  // namespace
}  // namespace llava::testing
