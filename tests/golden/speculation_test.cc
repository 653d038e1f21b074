// SPDX-License-Identifier: Apache-2.0
//
// Speculative decoding with real models: ids and log-probabilities are those without, bit for bit,
// and a model accepts what it drafts for itself.
#include <gtest/gtest.h>

#include <filesystem>

#include "llava/core/error.h"
#include "llava/engine/answer.h"
#include "llava/engine/draft_model.h"
#include "llava/engine/draft_vocabulary.h"
#include "llava/engine/model_runner.h"
#include "llava/engine/open_engine.h"
#include "llava/engine/prompt_images.h"
#include "llava/image/decode.h"
#include "llava/runtime.h"
#include "support/paths.h"

namespace llava::engine {
namespace {

const std::filesystem::path kModels = source_folder() / "tests/golden/models";
constexpr int32_t kPageSize = 16;
constexpr int32_t kNumPages = 256;

class Speculation : public ::testing::Test {
 protected:
  Pretrained load(const std::string& model, const std::string& base = {}) {
    LoadRequest request;
    request.model_path = (kModels / model).string();
    if (!base.empty()) request.model_base = (kModels / base).string();
    return load_pretrained(ctx_, request);
  }

  std::unique_ptr<ModelRunner> runner(const Pretrained& pretrained) {
    return std::make_unique<ModelRunner>(ctx_, *pretrained.model, pretrained.model->dtype(),
                                         kNumPages, kPageSize);
  }

  // `draft` guesses whatever its guesses cost; null: nobody does.
  std::unique_ptr<Engine> open(const Pretrained& target, const Pretrained* draft) {
    EngineConfig config;
    config.scheduler.chunked_prefill_size = 24;
    std::vector<EngineReplica> replicas(1);
    replicas.front().runner = runner(target);
    if (draft != nullptr) {
      config.max_draft_tokens = 5;
      replicas.front().draft_model = std::make_unique<DraftModel>(
          DraftModelConfig{
              .scheduler = config.scheduler,
              .num_pages = kNumPages,
              .num_ids = num_common_ids(*target.tokenizer, *draft->tokenizer, draft->name),
              .context_length = draft->context_length(),
              .cost_per_token = 0},
          runner(*draft));
    }
    return std::make_unique<Engine>(
        config,
        EngineMemory{
            .num_pages = kNumPages, .encoder_cache_bytes = 1 << 24, .encoder_bytes_per_token = 256},
        std::move(replicas), *target.tokenizer, target.model->config.decoder.vocab_size);
  }

  std::vector<GenerationRequest> requests(const Pretrained& target, bool has_picture,
                                          bool has_samples) {
    std::vector<PreparedImage> images;
    if (has_picture) {
      images.push_back(prepare_image(
          target, image::decode_file(kModels.parent_path() / "images/landscape_96x64.jpg")));
    }
    std::vector<GenerationRequest> requests;
    for (int i = 0; i < 6; ++i) {
      const bool shows = has_picture && i % 2 == 0;
      std::string text = "a question about the picture, number " + std::to_string(i);
      if (shows) text = "<image>\n" + text;
      const PreparedPrompt prompt = prepare_prompt(target, tokenize_prompt(target, text),
                                                   shows ? images : std::vector<PreparedImage>());
      AnswerOptions options;
      options.temperature = has_samples && i % 3 == 1 ? 0.8f : 0.0f;
      options.seed = 40 + static_cast<uint64_t>(i);
      options.max_new_tokens = 40;
      GenerationParams params = resolve_params(target, options, prompt);
      params.sampling.num_logprobs = 2;
      params.end_ids = {};
      requests.push_back(make_request(prompt, params, {}));
      if (i == 4) requests.back().num_choices = 2;
    }
    return requests;
  }

  static std::vector<std::vector<TokenChoice>> answers(Engine& engine,
                                                       std::vector<GenerationRequest> requests) {
    std::vector<std::shared_ptr<AnswerStream>> streams;
    for (GenerationRequest& request : requests) {
      streams.push_back(engine.submit(std::move(request)));
    }
    std::vector<std::vector<TokenChoice>> answers;
    for (const auto& stream : streams) {
      std::vector<std::vector<TokenChoice>> choices(2);
      while (const auto delta = stream->next()) {
        auto& choice = choices.at(static_cast<std::size_t>(delta->choice));
        choice.insert(choice.end(), delta->tokens.begin(), delta->tokens.end());
      }
      for (auto& choice : choices) answers.push_back(std::move(choice));
    }
    engine.wait_until_idle();
    return answers;
  }

  static void expect_equal(const std::vector<std::vector<TokenChoice>>& found,
                           const std::vector<std::vector<TokenChoice>>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].size(), expected[i].size()) << i;
      for (std::size_t k = 0; k < found[i].size(); ++k) {
        EXPECT_EQ(found[i][k].id, expected[i][k].id) << i << " " << k;
        EXPECT_EQ(found[i][k].logprob, expected[i][k].logprob) << i << " " << k;
        EXPECT_EQ(found[i][k].top, expected[i][k].top) << i << " " << k;
      }
    }
  }

  Runtime runtime_{{.threads = 2}};
  Context ctx_ = runtime_.context();
};

TEST_F(Speculation, ADraftModelChangesNoBit) {
  const Pretrained target = load("llava-v1.5-lora-rslora", "base-vicuna");
  const Pretrained draft = load("base-vicuna");
  const auto expected = answers(*open(target, nullptr), requests(target, true, true));
  const auto engine = open(target, &draft);
  expect_equal(answers(*engine, requests(target, true, true)), expected);
  const EngineStats stats = engine->stats();
  EXPECT_GT(stats.accepted_tokens, 0);
  EXPECT_LT(stats.accepted_tokens, stats.draft_tokens);
}

TEST_F(Speculation, AModelAcceptsItsOwnDrafts) {
  const Pretrained target = load("base-vicuna");
  const auto expected = answers(*open(target, nullptr), requests(target, false, false));
  const auto engine = open(target, &target);
  expect_equal(answers(*engine, requests(target, false, false)), expected);
  const EngineStats stats = engine->stats();
  EXPECT_GT(stats.draft_tokens, 100);
  // The few others were guessed from the text itself.
  EXPECT_GE(stats.accepted_tokens, stats.draft_tokens * 95 / 100);
}

TEST_F(Speculation, OpenEngineTakesADraftModelOfTheSameVocabulary) {
  const Pretrained target = load("llava-v1.5-lora-rslora", "base-vicuna");
  EngineOptions options;
  options.config.max_draft_tokens = 4;
  options.draft_model = (kModels / "base-vicuna").string();
  const auto draft = load_draft_model(ctx_, target, options);
  const auto engine = open_engine({ctx_}, target, options, 256, draft.get());
  const auto expected = answers(*open(target, nullptr), requests(target, true, true));
  expect_equal(answers(*engine, requests(target, true, true)), expected);
  options.draft_model = (kModels / "hf-qwen2").string();
  try {
    load_draft_model(ctx_, target, options);
    FAIL() << "a draft model with another tokenizer was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("draft model 'hf-qwen2' has another vocabulary"),
              std::string::npos)
        << error.what();
  }
  options.config.max_draft_tokens = 0;
  EXPECT_THROW(load_draft_model(ctx_, target, options), Error);
  options.draft_model.clear();
  EXPECT_EQ(load_draft_model(ctx_, target, options), nullptr);
}

}  // namespace
}  // namespace llava::engine
