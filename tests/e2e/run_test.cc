// SPDX-License-Identifier: Apache-2.0
//
// `llava run` on every kind of checkpoint: answers, decoding settings, pictures and their places.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "program.h"
#include "support/loopback_server.h"

namespace llava::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using Strings = std::vector<std::string>;

std::vector<int> ids(const Json& answer, const char* key = "generated_ids") {
  return answer.at(key).get<std::vector<int>>();
}

TEST(Run, JsonHasTheDocumentedShape) {
  const Json answer =
      json_of(run_llava(ask_golden("hf-llava", golden_image("landscape_96x64.jpg"), "What?")));
  EXPECT_TRUE(answer.at("text").is_string());
  EXPECT_EQ(answer.at("finish_reason"), "length");
  EXPECT_EQ(ids(answer).size(), 8u);
  const auto prompt = ids(answer, "prompt_ids");
  EXPECT_EQ(std::count(prompt.begin(), prompt.end(), -200), 1);
  const Json& usage = answer.at("usage");
  EXPECT_EQ(usage.at("image_tokens"), 16);
  EXPECT_EQ(usage.at("prompt_tokens").get<std::size_t>(), prompt.size() - 1 + 16);
  EXPECT_EQ(usage.at("completion_tokens"), 8);
  for (const char* key :
       {"load_ms", "preprocess_ms", "encode_ms", "prefill_ms", "first_token_ms", "decode_ms"}) {
    EXPECT_TRUE(answer.at("timings").at(key).is_number()) << key;
  }
  EXPECT_EQ(answer.at("model"), "hf-llava");
  EXPECT_EQ(answer.at("backend"), "native");
}

TEST(Run, EveryLayoutAnswers) {
  struct Case {
    const char* model;
    const char* base;
  };
  for (const Case& c :
       {Case{"hf-llava", ""}, Case{"hf-next-mistral", ""}, Case{"hf-qwen2", ""},
        Case{"hf5-next-llama3", ""}, Case{"llava-v1.5-pad", ""}, Case{"llava-v1.6-mistral", ""},
        Case{"llava-7b-legacy", ""}, Case{"llava-v1.5-lora-rslora", "base-vicuna"},
        Case{"llava-v1.5-lora-gguf", "base-gguf.gguf"},
        Case{"llava-projector-mlp2x", "base-vicuna"},
        Case{"llava-projector-gguf-k", "base-gguf-k.gguf"}}) {
    SCOPED_TRACE(c.model);
    Strings arguments = ask_golden(c.model, golden_image("portrait_45x80.png"), "What is this?");
    if (*c.base != '\0') {
      arguments = std::move(arguments) + Strings{"--model-base", golden_model(c.base)};
    }
    const Json answer = json_of(run_llava(arguments));
    ASSERT_TRUE(answer.is_object());
    EXPECT_FALSE(ids(answer).empty());
    EXPECT_GT(answer.at("usage").at("image_tokens"), 0);
  }
}

TEST(Run, ALanguageModelAloneAnswersText) {
  const Strings arguments{"run",
                          "--model-path",
                          golden_model("base-gguf.gguf"),
                          "--query",
                          "Hi",
                          "--max-new-tokens",
                          "4",
                          "--temperature",
                          "0",
                          "--json"};
  EXPECT_EQ(ids(json_of(run_llava(arguments))).size(), 4u);
  const ProcessResult result =
      run_llava(arguments + Strings{"--image-file", golden_image("square_28x28.png")});
  EXPECT_THAT(error_of(result, 2, "invalid_argument"), HasSubstr("vision tower"));
}

TEST(Run, TextIsTheAnswerAndANewline) {
  const Strings ask = ask_golden("llava-v1.5-pad", golden_image("square_28x28.png"), "What?");
  const Json answer = json_of(run_llava(ask));
  const ProcessResult plain = run_llava(Strings(ask.begin(), ask.end() - 1));
  EXPECT_EQ(plain.status, 0);
  EXPECT_EQ(plain.out, answer.at("text").get<std::string>() + "\n");
}

TEST(Run, SeveralPicturesAndTheirPlaces) {
  const std::string two =
      golden_image("landscape_96x64.jpg") + "," + golden_image("square_28x28.png");
  const Json in_front = json_of(run_llava(ask_golden("llava-v1.5-pad", two, "What changed?")));
  EXPECT_EQ(in_front.at("usage").at("image_tokens"), 32);
  const Json placed = json_of(run_llava(ask_golden(
      "llava-v1.5-pad", two, "<image-placeholder> or <image-placeholder>, what changed?")));
  EXPECT_EQ(placed.at("usage").at("image_tokens"), 32);
  EXPECT_NE(ids(placed, "prompt_ids"), ids(in_front, "prompt_ids"));
  const std::string other =
      golden_image("landscape_96x64.jpg") + "|" + golden_image("square_28x28.png");
  const Json separated = json_of(
      run_llava(ask_golden("llava-v1.5-pad", other, "What changed?") + Strings{"--sep", "|"}));
  EXPECT_EQ(ids(separated), ids(in_front));
  const ProcessResult mismatch =
      run_llava(ask_golden("llava-v1.5-pad", two, "<image> <image> <image>?"));
  const std::string message = error_of(mismatch, 2, "invalid_argument");
  EXPECT_THAT(message, HasSubstr("3 `<image>`"));
  EXPECT_THAT(message, HasSubstr("2 pictures"));
}

TEST(Run, AnotherTemplateIsWarnedAboutInTheWordsOfTheOriginal) {
  const Strings ask = ask_golden("llava-v1.5-pad", golden_image("square_28x28.png"), "What?");
  const Json own = json_of(run_llava(ask));
  const ProcessResult result = run_llava(ask + Strings{"--conv-mode", "llava_v0"});
  EXPECT_THAT(result.err,
              HasSubstr("[WARNING] the auto inferred conversation mode is llava_v1, while "
                        "`--conv-mode` is llava_v0, using llava_v0\n"));
  EXPECT_NE(ids(json_of(result), "prompt_ids"), ids(own, "prompt_ids"));
  EXPECT_THAT(run_llava(ask + Strings{"--conv-mode", "llava_v1"}).err, Not(HasSubstr("WARNING")));
  const std::string unknown =
      error_of(run_llava(ask + Strings{"--conv-mode", "vicuna_v9"}), 2, "invalid_argument");
  EXPECT_THAT(unknown, HasSubstr("'vicuna_v9'"));
  EXPECT_THAT(unknown, HasSubstr("vicuna_v1"));
}

TEST(Run, ADraftModelChangesNoAnswer) {
  const Strings ask =
      ask_golden("llava-v1.5-lora-rslora", golden_image("landscape_96x64.jpg"), "What is this?") +
      Strings{"--model-base", golden_model("base-vicuna"), "--max-draft-tokens", "4"};
  const Json alone = json_of(run_llava(ask));
  const Json with = json_of(run_llava(ask + Strings{"--draft-model", golden_model("base-vicuna")}));
  EXPECT_EQ(ids(with), ids(alone));
  EXPECT_TRUE(with.at("usage").at("draft_tokens").is_number());
  EXPECT_LE(with.at("usage").at("accepted_tokens"), with.at("usage").at("draft_tokens"));
  EXPECT_THAT(error_of(run_llava(ask + Strings{"--draft-model", golden_model("hf-qwen2")}), 2,
                       "invalid_argument"),
              HasSubstr("has another vocabulary: token "));
  EXPECT_THAT(error_of(run_llava(ask + Strings{"--draft-model", "/nowhere"}), 3, "not_found"),
              HasSubstr("/nowhere"));
}

TEST(Run, AQuestionBeyondTheContextIsRefusedWithAllCounts) {
  std::string question;
  for (int i = 0; i < 2000; ++i) question += "word ";
  const ProcessResult result =
      run_llava(ask_golden("llava-v1.5-pad", golden_image("square_28x28.png"), question));
  EXPECT_THAT(error_of(result, 2, "invalid_argument"),
              ContainsRegex("the prompt has [0-9]+ tokens .[0-9]+ of text, 16 of pictures., but "
                            "the model's context holds 1024: shorten"));
}

TEST(Run, GreedyAndSeededAnswersRepeat) {
  const Strings ask = ask_golden("llava-v1.5-pad", golden_image("square_28x28.png"), "What?");
  EXPECT_EQ(ids(json_of(run_llava(ask))), ids(json_of(run_llava(ask))));
  const auto sample = [&](const char* seed) {
    return ids(json_of(
        run_llava({"run", "--model-path", golden_model("llava-v1.5-pad"), "--query", "What?",
                   "--temperature", "1.5", "--max-new-tokens", "24", "--json", "--seed", seed})));
  };
  EXPECT_EQ(sample("7"), sample("7"));
  EXPECT_NE(sample("7"), sample("8"));
}

TEST(Run, NarrowSamplingIsGreedy) {
  const Strings ask{"run",     "--model-path", golden_model("llava-v1.5-pad"),
                    "--query", "What?",        "--max-new-tokens",
                    "12",      "--dtype",      "float32",
                    "--json"};
  const auto greedy = ids(json_of(run_llava(ask + Strings{"--temperature", "0"})));
  EXPECT_EQ(ids(json_of(run_llava(ask + Strings{"--temperature", "1", "--top-k", "1"}))), greedy);
  EXPECT_EQ(ids(json_of(run_llava(ask + Strings{"--temperature", "1", "--top-p", "1e-6"}))),
            greedy);
  EXPECT_NE(ids(json_of(run_llava(ask + Strings{"--temperature", "0", "--repetition-penalty", "50",
                                                "--max-new-tokens", "64"}))),
            ids(json_of(run_llava(ask + Strings{"--temperature", "0", "--max-new-tokens", "64"}))));
}

TEST(Run, BeamsGiveOneAnswer) {
  const Json answer =
      json_of(run_llava(ask_golden("llava-v1.5-pad", golden_image("square_28x28.png"), "What?") +
                        Strings{"--num-beams", "4"}));
  EXPECT_LE(ids(answer).size(), 8u);
  EXPECT_FALSE(ids(answer).empty());
}

TEST(Run, AStopTextEndsTheAnswerAndIsNotInIt) {
  const Strings ask =
      ask_golden("llava-v1.5-pad", golden_image("landscape_96x64.jpg"), "What is this?");
  const std::string whole = json_of(run_llava(ask)).at("text").get<std::string>();
  const std::string stop = whole.substr(2, 2);
  const Json answer = json_of(run_llava(ask + Strings{"--stop", "never said", "--stop", stop}));
  EXPECT_EQ(answer.at("finish_reason"), "stop_string");
  EXPECT_EQ(answer.at("text"), whole.substr(0, whole.find(stop)));
}

TEST(Run, APromptBeyondTheContextIsRefusedWithItsCounts) {
  std::string query;
  for (int i = 0; i < 600; ++i) query += "word ";
  const std::string message =
      error_of(run_llava(ask_golden("hf-llava", golden_image("square_28x28.png"), query)), 2,
               "invalid_argument");
  EXPECT_THAT(message, ::testing::ContainsRegex("prompt has [0-9]+ tokens"));
  EXPECT_THAT(message, HasSubstr("16 of pictures"));
  EXPECT_THAT(message, HasSubstr("1024"));
}

TEST(Run, ExifAndAlphaFlagsChangeThePicture) {
  const Strings alpha = ask_golden("llava-v1.5-pad", golden_image("alpha_60x50.png"), "What?");
  json_of(run_llava(alpha + Strings{"--rgba-background", "white"}));
  json_of(run_llava(alpha + Strings{"--exif-transpose"}));
  const std::string message =
      error_of(run_llava(alpha + Strings{"--max-pixels", "2999"}), 3, "bad_format");
  EXPECT_THAT(message, HasSubstr("60x50"));
}

class RunAddress : public ::testing::Test {
 protected:
  static Strings ask(const std::string& address) {
    return ask_golden("llava-v1.5-pad", address, "What?");
  }

  const std::string picture_ = read_text(golden_image("square_28x28.png"));
  LoopbackServer server_{[this](const std::string& path) -> std::string {
    if (path == "/picture") return http_answer("200 OK", picture_);
    if (path == "/moved") return http_answer("302 Found", "", "Location: /picture");
    if (path == "/loop") return http_answer("302 Found", "", "Location: /loop");
    if (path == "/file") return http_answer("302 Found", "", "Location: file:///etc/hostname");
    if (path == "/page") return http_answer("200 OK", "<html>no picture</html>");
    // More than any picture may have, said in front and never sent.
    if (path == "/huge") return "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n";
    return http_answer("404 Not Found", "");
  }};
};

TEST_F(RunAddress, AnAddressIsAsGoodAsAFile) {
  const auto from_file = ids(json_of(run_llava(ask(golden_image("square_28x28.png")))));
  EXPECT_EQ(ids(json_of(run_llava(ask(server_.address("/picture"))))), from_file);
  EXPECT_EQ(ids(json_of(run_llava(ask(server_.address("/moved"))))), from_file);
}

TEST_F(RunAddress, WhatCannotBeFetchedIsNamedWithItsReason) {
  struct Case {
    const char* path;
    int status;
    const char* code;
    const char* reason;
  };
  for (const Case& c :
       {Case{"/missing", 4, "unavailable", "404"}, Case{"/loop", 4, "unavailable", "redirect"},
        Case{"/file", 4, "unavailable", "rotocol"}, Case{"/huge", 3, "bad_format", "more than"},
        Case{"/page", 3, "bad_format", "expected"}}) {
    SCOPED_TRACE(c.path);
    const std::string message = error_of(run_llava(ask(server_.address(c.path))), c.status, c.code);
    EXPECT_THAT(message, HasSubstr(server_.address(c.path)));
    EXPECT_THAT(message, HasSubstr(c.reason));
  }
}

TEST_F(RunAddress, ADeadServerIsUnavailable) {
  std::string address;
  {
    const LoopbackServer gone([](const std::string&) { return std::string(); });
    address = gone.address("/picture");
  }
  EXPECT_THAT(error_of(run_llava(ask(address)), 4, "unavailable"), HasSubstr(address));
}

}  // namespace
}  // namespace llava::testing
