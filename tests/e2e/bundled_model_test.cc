// SPDX-License-Identifier: Apache-2.0
//
// The bundled model gives the greedy answers of its PyTorch original, through the library and
// through the program.
#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

#include "llava/llava.h"
#include "program.h"

namespace llava::testing {
namespace {

const std::filesystem::path kBundled = LLAVA_SOURCE_DIR "/models/tiny-llava-smollm2";

// The recorded questions with their pictures, of the checkout or beside it.
std::filesystem::path check_folder() {
  const std::filesystem::path beside =
      std::filesystem::path(LLAVA_SOURCE_DIR) / "../shared/models/tiny-llava-smollm2/check";
  for (const auto& folder : {kBundled / "check", beside}) {
    if (std::filesystem::exists(folder / "questions.json")) return folder;
  }
  return {};
}

bool has_language_model() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (cache != nullptr && *cache != '\0') {
    folder = cache;
  } else if (home != nullptr) {
    folder = std::filesystem::path(home) / ".cache";
  }
  return std::filesystem::exists(folder / "llava/models/SmolLM2-135M-Instruct.Q4_1.gguf");
}

class BundledModel : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = check_folder();
    if (folder_.empty()) GTEST_SKIP() << "no questions.json of the bundled model";
    if (!has_language_model()) {
      GTEST_SKIP() << "the bundled model's language model is not in the cache (scripts/setup)";
    }
    questions_ = read_json_file(folder_ / "questions.json").at("questions");
    ASSERT_EQ(questions_.size(), 50u);
  }

  std::string picture(const Json& question) const {
    return (folder_ / question.at("image").get<std::string>()).string();
  }

  void expect_program_answers() const {
    // Every question loads the model anew, so this asks a tenth of them.
    for (std::size_t i = 0; i < questions_.size(); i += 10) {
      SCOPED_TRACE(i);
      const Json& question = questions_[i];
      const Json answer =
          json_of(run_llava({"run", "--image-file", picture(question), "--query",
                             question.at("question").get<std::string>(), "--temperature", "0",
                             "--dtype", "float32", "--max-new-tokens", "32", "--json"}));
      ASSERT_TRUE(answer.is_object());
      EXPECT_EQ(answer.at("prompt_ids"), question.at("prompt_ids"));
      EXPECT_EQ(answer.at("generated_ids"), question.at("generated_ids"));
      EXPECT_EQ(answer.at("text"), question.at("text"));
    }
  }

  std::filesystem::path folder_;
  Json questions_;
};

TEST_F(BundledModel, LibraryAnswersAsPyTorch) {
  const auto model = load_pretrained_model({.dtype = "float32"});
  for (const Json& question : questions_) {
    SCOPED_TRACE(question.at("question").get<std::string>());
    std::string streamed;
    const Reply reply = model->ask({
        .query = question.at("question").get<std::string>(),
        .pictures = {Picture::file(picture(question))},
        .temperature = 0,
        .max_new_tokens = 32,
        .on_text = [&](std::string_view text) { streamed += text; },
    });
    EXPECT_EQ(reply.prompt_ids, question.at("prompt_ids").get<std::vector<int32_t>>());
    EXPECT_EQ(reply.generated_ids, question.at("generated_ids").get<std::vector<int32_t>>());
    EXPECT_EQ(reply.text, question.at("text").get<std::string>());
    EXPECT_EQ(streamed, reply.text);
  }
}

TEST_F(BundledModel, ProgramAnswersAsPyTorch) { expect_program_answers(); }

TEST(Library, CancelFromAnotherThreadEndsTheAnswer) {
  const auto model = load_pretrained_model({.model_path = golden_model("llava-v1.5-pad")});
  std::stop_source cancel;
  int num_texts = 0;
  const Reply reply = model->ask({
      .query = "What is this?",
      .pictures = {Picture::encoded(read_text(golden_image("square_28x28.png")))},
      .temperature = 0,
      .on_text =
          [&](std::string_view) {
            if (++num_texts == 3) std::jthread([&] { cancel.request_stop(); }).join();
          },
      .cancel = cancel.get_token(),
  });
  EXPECT_EQ(reply.finish_reason, "cancelled");
  EXPECT_EQ(num_texts, 3);
}

TEST(Library, ErrorsNameWhatIsWrong) {
  EXPECT_THROW(load_pretrained_model({.model_path = "/nowhere/at/all"}), Error);
  const auto model = load_pretrained_model({.model_path = golden_model("llava-v1.5-pad")});
  EXPECT_THROW(model->ask({.query = "What?", .pictures = {Picture::file("/nowhere.png")}}), Error);
  EXPECT_THROW(model->ask({.query = "What?", .conv_mode = "vicuna_v9"}), Error);
}

// examples/ask.cc on a golden model.
TEST(Example, AsksAndPrintsTheAnswer) {
  const ProcessResult result =
      run_process({.arguments = {LLAVA_EXAMPLE_ASK, golden_image("square_28x28.png"),
                                 "What is this?", golden_model("hf-llava")}});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_GT(result.out.size(), 1u);
  const ProcessResult missing = run_process(
      {.arguments = {LLAVA_EXAMPLE_ASK, "nowhere.png", "What?", golden_model("hf-llava")}});
  EXPECT_EQ(missing.status, 1);
  EXPECT_NE(missing.err.find("nowhere.png"), std::string::npos);
  EXPECT_EQ(run_process({.arguments = {LLAVA_EXAMPLE_ASK}}).status, 2);
}

}  // namespace
}  // namespace llava::testing
