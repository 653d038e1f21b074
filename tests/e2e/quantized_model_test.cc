// SPDX-License-Identifier: Apache-2.0
//
// The bundled model with quantised weights: its language model is a GGUF file of 4-bit blocks,
// which an ordinary run computes with as they are, and --load-4bit and --load-8bit quantise what is
// not yet.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>

#include "bundled_questions.h"
#include "llava/llava.h"
#include "program.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;

using QuantizedModel = BundledQuestions;

struct Answers {
  int num_right = 0;  ///< the answer holds what the picture shows
  int num_same = 0;   ///< the ids of the float32 original
};

Answers ask_all(Model& model, const Json& questions, const auto& picture) {
  Answers answers;
  for (const Json& question : questions) {
    const Reply reply = model.ask({.query = question.at("question").get<std::string>(),
                                   .pictures = {Picture::file(picture(question))},
                                   .temperature = 0,
                                   .max_new_tokens = 32});
    answers.num_right +=
        reply.text.find(question.at("answer").get<std::string>()) != std::string::npos;
    answers.num_same +=
        reply.generated_ids == question.at("generated_ids").get<std::vector<int32_t>>();
  }
  return answers;
}

// The original answers 49 of the 50 rightly. Activations of 8 bits change none of its answers.
TEST_F(QuantizedModel, BlocksAnswerAsTheFloatsTheyStandFor) {
  const auto original = static_cast<int>(
      std::count_if(questions_.begin(), questions_.end(), [](const Json& question) {
        return question.at("text").get<std::string>().find(
                   question.at("answer").get<std::string>()) != std::string::npos;
      }));
  const auto picture_of = [&](const Json& question) { return picture(question); };
  for (const ModelOptions& options :
       {ModelOptions{}, ModelOptions{.load_8bit = true}, ModelOptions{.load_4bit = true}}) {
    SCOPED_TRACE(options.load_8bit ? "--load-8bit" : options.load_4bit ? "--load-4bit" : "auto");
    const auto model = load_pretrained_model(options);
    const Answers answers = ask_all(*model, questions_, picture_of);
    EXPECT_EQ(answers.num_right, original);
    EXPECT_EQ(answers.num_same, 50);
  }
}

// Widened to float32 and quantised again, which loses a second time: accuracy may not.
TEST_F(QuantizedModel, FourBitsLoseNoAccuracy) {
  const auto model = load_pretrained_model({.dtype = "float32", .load_4bit = true});
  const auto picture_of = [&](const Json& question) { return picture(question); };
  EXPECT_GE(ask_all(*model, questions_, picture_of).num_right, 49);
}

// Answers about one picture, one after the other, by each table of kernels of this processor;
// packed products are the same to the bit, the rest agrees within the tolerances of
// docs/kernels.md. Among the questions is the one whose best two answers are nearest to each other.
TEST_F(QuantizedModel, AllKernelsGiveTheSameText) {
  const fs::path folder = fs::path(::testing::TempDir()) / "all-kernels";
  fs::remove_all(folder);
  fs::create_directory(folder);
  std::ofstream items(folder / "items.jsonl");
  for (const std::size_t i : {std::size_t{3}, std::size_t{24}, std::size_t{41}}) {
    const Json item = {{"question", questions_[i].at("question")},
                       {"image", picture(questions_[i])}};
    items << to_text(item) << "\n";
  }
  items.close();
  const auto answers_of = [&](const std::string& kernels) {
    const std::string output = (folder / (kernels + ".jsonl")).string();
    ProcessRequest request =
        program_request({"batch", "--input", (folder / "items.jsonl").string(), "--output", output,
                         "--max-in-flight", "1", "--max-new-tokens", "8"});
    request.environment["LLAVA_KERNELS"] = kernels;
    request.timeout = std::chrono::minutes(10);  // scalar, on a machine with other work
    const ProcessResult result = run_process(request);
    EXPECT_EQ(result.status, 0) << result.err;
    return read_text(output);
  };
  const Json available = json_of(run_llava({"info", "--json"})).at("kernels").at("available");
  const std::string fastest = answers_of(available.back().get<std::string>());
  EXPECT_EQ(std::ranges::count(fastest, '\n'), 3);
  for (std::size_t i = 0; i + 1 < available.size(); ++i) {
    const auto kernels = available[i].get<std::string>();
    EXPECT_EQ(answers_of(kernels), fastest) << kernels;
  }
  fs::remove_all(folder);
}

TEST_F(QuantizedModel, ComputeTypesWidenTheBlocks) {
  const auto weights = [](const std::vector<std::string>& flags) {
    return json_of(run_llava(std::vector<std::string>{"inspect", "--json"} + flags))
        .at("memory")
        .at("decoder")
        .get<int64_t>();
  };
  EXPECT_LT(5 * weights({}), weights({"--dtype", "float32"}));
}

}  // namespace
}  // namespace llava::testing
