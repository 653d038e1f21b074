// SPDX-License-Identifier: Apache-2.0
//
// The bundled model gives the greedy answers of its PyTorch original, through the library and
// through the program.
#include <gtest/gtest.h>

#include <thread>

#include "bundled_questions.h"
#include "data_url.h"
#include "llava/llava.h"
#include "program.h"
#include "server_process.h"
#include "support/http_client.h"
#include "support/paths.h"

namespace llava::testing {
namespace {

using BundledModel = BundledQuestions;

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

// Every question loads the model anew, so this asks a tenth of them; every_question_test.cc asks
// all.
TEST_F(BundledModel, ProgramAnswersAsPyTorch) {
  for (std::size_t i = 0; i < questions_.size(); i += 10) expect_program_answers(questions_[i]);
}

// The triangle is in the patches of rows 1 to 4 and columns 2 to 5. The first row is left out: what
// heads do not need they leave on the first patches (an attention sink).
TEST_F(BundledModel, LooksAtTheShapeWhoseColourItNames) {
  const ServerProcess server({"serve", "--port", "0", "--drain-delay", "0", "--dtype", "float32"});
  const std::string picture =
      data_url_of(source_folder() / "models/tiny-llava-smollm2/examples/red_triangle.png");
  const Json question{{"role", "user"},
                      {"content",
                       {{{"type", "image_url"}, {"image_url", {{"url", picture}}}},
                        {{"type", "text"}, {"text", "what color is the triangle?"}}}}};
  const Json body{{"messages", {question, {{"role", "assistant"}, {"content", "red"}}}}};
  const HttpReply reply = http_post(server.port(), "/v1/attention", body.dump());
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json answer = parse_json(reply.body, "answer");
  ASSERT_EQ(answer["tokens"].size(), 1u);
  const Json& look = answer["tokens"][0]["images"][0];
  const auto weights = look["weights"][0].get<std::vector<double>>();
  ASSERT_EQ(weights.size(), 64u);
  double inside = 0, below_first = 0, all = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const std::size_t row = i / 8, column = i % 8;
    all += weights[i];
    if (row >= 1) below_first += weights[i];
    if (row >= 1 && row <= 4 && column >= 2 && column <= 5) inside += weights[i];
  }
  EXPECT_GT(inside, 0.45 * below_first);  // of 2 patches in 7
  EXPECT_NEAR(look["share"].get<double>(), all, 1e-5);
}

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
            if (++num_texts == 1) std::jthread([&] { cancel.request_stop(); }).join();
          },
      .cancel = cancel.get_token(),
  });
  EXPECT_EQ(reply.finish_reason, "cancelled");
  EXPECT_EQ(num_texts, 1);
}

TEST(Library, ADraftModelChangesNoAnswer) {
  ModelOptions options{.model_path = golden_model("llava-projector-mlp2x"),
                       .model_base = golden_model("base-vicuna"),
                       .max_draft_tokens = 0};
  const Question question{.query = "What is this?", .temperature = 0, .max_new_tokens = 12};
  const Reply alone = load_pretrained_model(options)->ask(question);
  EXPECT_EQ(alone.draft_tokens, 0);
  options.max_draft_tokens = 4;
  options.draft_model = golden_model("base-vicuna");
  const Reply guessed = load_pretrained_model(options)->ask(question);
  EXPECT_EQ(guessed.generated_ids, alone.generated_ids);
  EXPECT_LE(guessed.accepted_tokens, guessed.draft_tokens);
  options.draft_model = golden_model("hf-qwen2");
  EXPECT_THROW(load_pretrained_model(options), Error);
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
