// SPDX-License-Identifier: Apache-2.0
//
// What comes after the logits, against the published libraries: beam search, repetition penalty,
// sampling filters, the prompts of the original's terminal chat, and where answers looked
// (README.md beside this file).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "llava/core/json.h"
#include "llava/engine/answer.h"
#include "llava/engine/dialogue.h"
#include "llava/engine/open_engine.h"
#include "llava/engine/prompt_images.h"
#include "llava/image/decode.h"
#include "llava/runtime.h"
#include "llava/text/history.h"
#include "llava/text/text_streamer.h"
#include "support/paths.h"

namespace llava {
namespace {

using ::testing::ElementsAreArray;

const std::filesystem::path kGolden = source_folder() / "tests/golden";

/// A checkpoint opened as the reference opened it: float32, adapters merged in float16.
class OpenModel {
 public:
  OpenModel(const std::string& model, const std::string& base) : ctx_(runtime_.context()) {
    engine::LoadRequest request;
    request.model_path = (kGolden / model).string();
    if (!base.empty()) request.model_base = (kGolden / base).string();
    request.dtype = request.vision_dtype = "float32";
    request.lora = "merged";
    pretrained_ = engine::load_pretrained(ctx_, request);
  }

  const engine::Pretrained& pretrained() const { return pretrained_; }

  engine::PreparedPrompt prepare(const std::string& prompt,
                                 const std::vector<std::string>& pictures) const {
    std::vector<engine::PreparedImage> images;
    for (const std::string& picture : pictures) {
      images.push_back(engine::prepare_image(pretrained_, image::decode_file(kGolden / picture)));
    }
    return engine::prepare_prompt(pretrained_, engine::tokenize_prompt(pretrained_, prompt),
                                  images);
  }

  /// What `generate_answer` would use for greedy decoding.
  engine::GenerationParams params(const engine::PreparedPrompt& prompt, int32_t max_new_tokens) {
    engine::AnswerOptions options;
    options.temperature = 0.0f;
    options.max_new_tokens = max_new_tokens;
    return engine::resolve_params(pretrained_, options, prompt);
  }

  engine::Generated generate(const engine::PreparedPrompt& prompt,
                             const engine::GenerationParams& params) {
    const engine::EngineOptions options;
    const auto engine =
        engine::open_engine({ctx_}, pretrained_, options, engine::tokens_needed(prompt, params));
    const auto stream = engine->submit(engine::make_request(prompt, params, {}));
    engine::Generated generated;
    while (const auto delta = stream->next()) {
      for (const engine::TokenChoice& token : delta->tokens) generated.ids.push_back(token.id);
      if (delta->finish_reason) generated.finish_reason = *delta->finish_reason;
      generated.score = delta->score;
    }
    return generated;
  }

  /// Where an answer looked, token by token over all tokens of the pictures.
  std::vector<float> look(const engine::PreparedPrompt& prompt, engine::LookRequest look,
                          const engine::EngineOptions& options) {
    const auto num_answer = static_cast<int32_t>(look.answer.size());
    engine::GenerationRequest request =
        engine::make_request(prompt, params(prompt, num_answer), {});
    request.look = std::move(look);
    const auto engine =
        engine::open_engine({ctx_}, pretrained_, options, prompt.num_tokens() + num_answer);
    const auto stream = engine->submit(std::move(request));
    std::vector<float> maps;
    while (const auto delta = stream->next()) {
      maps.insert(maps.end(), delta->attention.begin(), delta->attention.end());
    }
    return maps;
  }

 private:
  Runtime runtime_{{.threads = 1}};
  Context ctx_;
  engine::Pretrained pretrained_;
};

std::vector<std::string> strings(const Json& list) { return list.get<std::vector<std::string>>(); }

OpenModel open(const Json& entry) {
  return {entry.at("model").get<std::string>(), entry.value("model_base", std::string())};
}

TEST(GenerationGolden, BeamSearchFindsThePublishedBeams) {
  for (const Json& entry : read_json_file(kGolden / "beam.json")) {
    SCOPED_TRACE(entry.dump());
    OpenModel model = open(entry);
    const auto prompt =
        model.prepare(entry.at("prompt").get<std::string>(), strings(entry.at("images")));
    engine::GenerationParams params =
        model.params(prompt, entry.at("max_new_tokens").get<int32_t>());
    params.num_beams = entry.at("num_beams").get<int32_t>();
    params.length_penalty = entry.at("length_penalty").get<float>();
    const engine::Generated generated = model.generate(prompt, params);
    EXPECT_THAT(generated.ids, ElementsAreArray(entry.at("ids").get<std::vector<int32_t>>()));
    const double score = entry.at("score").get<double>();
    EXPECT_NEAR(generated.score, score, 1e-4 * std::max(1.0, std::abs(score)));
  }
}

TEST(GenerationGolden, RepetitionPenaltyChoosesThePublishedIds) {
  for (const Json& entry : read_json_file(kGolden / "repetition.json")) {
    SCOPED_TRACE(entry.dump());
    OpenModel model = open(entry);
    const auto prompt =
        model.prepare(entry.at("prompt").get<std::string>(), strings(entry.at("images")));
    engine::GenerationParams params =
        model.params(prompt, entry.at("max_new_tokens").get<int32_t>());
    params.sampling.repetition_penalty = entry.at("repetition_penalty").get<float>();
    EXPECT_THAT(model.generate(prompt, params).ids,
                ElementsAreArray(entry.at("ids").get<std::vector<int32_t>>()));
  }
}

TEST(GenerationGolden, FiltersKeepThePublishedSets) {
  for (const Json& entry : read_json_file(kGolden / "sampling.json")) {
    SCOPED_TRACE(entry.dump());
    engine::SamplingParams params;
    params.temperature = entry.at("temperature").get<float>();
    params.top_k = entry.value("top_k", 0);
    params.top_p = entry.value("top_p", 1.0f);
    params.repetition_penalty = entry.value("repetition_penalty", 1.0f);
    auto logits = entry.at("logits").get<std::vector<float>>();
    const auto previous = entry.at("previous_ids").get<std::vector<int32_t>>();
    engine::apply_repetition_penalty(logits, previous, params.repetition_penalty);
    engine::filter_logits(logits, params);
    std::vector<int32_t> kept;
    for (std::size_t id = 0; id < logits.size(); ++id) {
      if (std::isfinite(logits[id])) kept.push_back(static_cast<int32_t>(id));
    }
    EXPECT_THAT(kept, ElementsAreArray(entry.at("kept").get<std::vector<int32_t>>()));
    const std::vector<float> log_probabilities = engine::log_softmax(logits);
    const auto probabilities = entry.at("probabilities").get<std::vector<double>>();
    for (std::size_t id = 0; id < logits.size(); ++id) {
      EXPECT_NEAR(std::exp(log_probabilities[id]), probabilities[id], 1e-6) << "id " << id;
    }
  }
}

TEST(GenerationGolden, ChatRoundsAreTheOriginalsWithItsHistory) {
  const Json sessions = read_json_file(kGolden / "cli_rounds.json");
  for (const auto& [name, session] : sessions.items()) {
    SCOPED_TRACE(name);
    const Json& base = session.at("model_base");
    OpenModel model("models/" + name, base.is_null() ? "" : "models/" + base.get<std::string>());
    const engine::Pretrained& pretrained = model.pretrained();
    engine::Dialogue dialogue(pretrained, engine::choose_conv_mode(pretrained, ""));
    EXPECT_EQ(dialogue.conv_mode(), session.at("conv_mode").get<std::string>());
    int new_pictures = 1;
    for (std::size_t number = 0; number < session.at("lines").size(); ++number) {
      SCOPED_TRACE(number);
      const Json& round = session.at("rounds").at(number);
      dialogue.ask(session.at("lines").at(number).get<std::string>(), new_pictures);
      new_pictures = 0;
      EXPECT_EQ(dialogue.prompt(), round.at("prompt").get<std::string>());
      const auto prompt =
          model.prepare(dialogue.prompt(), {"images/" + session.at("image").get<std::string>()});
      EXPECT_THAT(prompt.ids_with_sentinels,
                  ElementsAreArray(round.at("input_ids").get<std::vector<int32_t>>()));
      const engine::Generated generated =
          model.generate(prompt, model.params(prompt, round.at("max_new_tokens").get<int32_t>()));
      auto returned = round.at("returned_ids").get<std::vector<int32_t>>();
      returned.erase(returned.begin());  // the begin token that the original returns in front
      EXPECT_THAT(generated.ids, ElementsAreArray(returned));
      text::TextStreamer screen(*pretrained.tokenizer);
      std::string shown;
      for (const int32_t id : generated.ids) shown += screen.push(id);
      shown += screen.finish();
      EXPECT_EQ(shown, round.at("screen_text").get<std::string>());
      const std::string stored =
          text::stored_answer(*pretrained.tokenizer, generated.ids, text::HistoryMode::kOriginal);
      EXPECT_EQ(stored, round.at("stored_text").get<std::string>());
      dialogue.answer(stored);
    }
  }
}

// Probabilities differ by the rounding of the scores they are made of. A score is a sum of products
// whose factors have come through every layer: as many roundings as the sums of a layer have terms,
// times the layers, of a score that is 8 at most here; twice, for the quotient.
TEST(GenerationGolden, AnswersLookedWhereThePublishedSaysTheyDid) {
  for (const Json& entry : read_json_file(kGolden / "attention.json")) {
    SCOPED_TRACE(entry.at("model").get<std::string>() + " " + entry.at("prompt").dump());
    OpenModel model = open(entry);
    const model::DecoderConfig& c = model.pretrained().model->config.decoder;
    const auto prompt =
        model.prepare(entry.at("prompt").get<std::string>(), strings(entry.at("images")));
    const auto answer = entry.at("answer").get<std::vector<int32_t>>();
    const auto num_columns = static_cast<std::size_t>(prompt.num_image_tokens());
    const double num_terms = c.hidden_size + c.intermediate_size + c.head_dim +
                             static_cast<double>(prompt.num_tokens() + answer.size());
    const double tolerance = 2 * 8 * c.num_hidden_layers * num_terms * 0x1.0p-24;
    ASSERT_EQ(entry.at("tokens").size(), answer.size());

    engine::EngineOptions options;
    std::vector<double> mean(answer.size() * num_columns, 0.0);
    for (int32_t layer = 0; layer < c.num_hidden_layers; ++layer) {
      const std::vector<float> maps =
          model.look(prompt, {.answer = answer, .layer = layer}, options);
      ASSERT_EQ(maps.size(), mean.size());
      for (std::size_t i = 0; i < maps.size(); ++i) {
        const double expected = entry.at("tokens")
                                    .at(i / num_columns)
                                    .at("layers")
                                    .at(static_cast<std::size_t>(layer))
                                    .at(i % num_columns)
                                    .get<double>();
        EXPECT_NEAR(maps[i], expected, tolerance * expected + 1e-9)
            << "layer " << layer << ", token " << i / num_columns << ", row " << i % num_columns;
        mean[i] += expected / c.num_hidden_layers;
      }
    }
    // The mean over the layers; what it leaves is for the other tokens.
    const std::vector<float> maps = model.look(prompt, {.answer = answer}, options);
    ASSERT_EQ(maps.size(), mean.size());
    for (std::size_t token = 0; token < answer.size(); ++token) {
      double sum = entry.at("tokens").at(token).at("rest").get<double>();
      for (std::size_t i = token * num_columns; i < (token + 1) * num_columns; ++i) {
        EXPECT_NEAR(maps[i], mean[i], tolerance * mean[i] + 1e-9);
        sum += double{maps[i]};
      }
      EXPECT_NEAR(sum, 1.0, tolerance);
    }
    // The same bits in any chunks and pages.
    options.config.scheduler.chunked_prefill_size = 3;
    options.config.scheduler.page_size = 8;
    EXPECT_EQ(model.look(prompt, {.answer = answer}, options), maps);
  }
}

}  // namespace
}  // namespace llava
