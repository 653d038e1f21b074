// SPDX-License-Identifier: Apache-2.0
//
// Ranks with a share of a model each answer as the whole one, alone.
#include "llava/engine/parallel/parallel_runner.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../model/random_model.h"
#include "llava/backend/native/native_backend.h"
#include "llava/core/error.h"
#include "llava/engine/parallel/step_message.h"

namespace llava::engine {
namespace {

constexpr RunnerMemory kMemory{.kv_dtype = DType::kFloat32, .num_pages = 8, .page_size = 8};
constexpr float kTolerance = 1e-4f;

model::LlavaModel random_model() {
  model::LlavaModel model(model::tiny_config());
  model::fill_random(model, 1);
  // Adapters beside a layer that is cut by rows and one that is cut by columns.
  for (model::Linear* linear :
       {&model.decoder.layers[0].self_attn.q_proj, &model.decoder.layers[1].self_attn.o_proj,
        &model.decoder.layers[1].mlp.down_proj}) {
    Tensor a = Tensor::zeros({3, linear->in_features()}, DType::kFloat32);
    Tensor b = Tensor::zeros({linear->out_features(), 3}, DType::kFloat32);
    float value = -0.4f;
    for (Tensor* tensor : {&a, &b}) {
      for (float& x : tensor->mutable_data<float>())
        x = value = value > 0.4f ? -0.4f : value + 0.07f;
    }
    linear->adapters.push_back({.a_RI = a, .b_OR = b, .scale = 0.5f});
  }
  return model;
}

/// A rank with its share of the model, in a thread of its own.
class Follower {
 public:
  Follower(const model::ModelShare& share, RankLink link)
      : rank_(share, std::move(link)), thread_([this] {
          ThreadPool pool(1);
          const auto backend = native::make_native_backend(pool);
          Context ctx{*backend, &pool};
          model::LlavaModel model = random_model();
          take_share(ctx, model, rank_.share(),
                     [this](Context& c, const Tensor& part) { return rank_.sum(c, part); });
          follow_leader(ctx, model, "tiny", rank_);
        }) {}

 private:
  FollowingRank rank_;
  std::jthread thread_;
};

/// With as many ranks as key heads, and with more.
class ParallelRunnerTest : public testing::TestWithParam<int32_t> {
 protected:
  ParallelRunnerTest() {
    std::vector<RankLink> links;
    for (int32_t rank = 1; rank < GetParam(); ++rank) {
      auto [own, other] = RankLink::pair();
      links.push_back(std::move(own));
      followers_.push_back(std::make_unique<Follower>(
          model::ModelShare{.rank = rank, .num_ranks = GetParam()}, std::move(other)));
    }
    leader_ = std::make_unique<LeadingRank>(std::move(links), /*shares_tiles=*/true);
    take_share(ctx_, share_, leader_->share(),
               [this](Context& c, const Tensor& part) { return leader_->sum(c, part); });
    leader_->wait_until_ready("tiny");
    runner_ = std::make_unique<ParallelRunner>(ctx_, share_, kMemory, *leader_);
    picture_.layout.num_tokens = picture_.layout.tokens_per_tile = 4;
    picture_.layout.tiles.resize(1);
    picture_.layout.source_rows = {0, 1, 2, 3};
    picture_.pixels_ICHW = Tensor::zeros({1, 3, 28, 28}, DType::kFloat32);
    float value = -1;
    for (float& pixel : picture_.pixels_ICHW.mutable_data<float>()) {
      pixel = value = value > 1 ? -1 : value + 0.37f;
    }
  }
  ~ParallelRunnerTest() override { leader_.reset(); }

  static StepItem item(int32_t num_past, int32_t num_tokens, const std::vector<int32_t>& pages) {
    StepItem item;
    item.sequence = 1;
    item.num_past = num_past;
    for (int32_t i = num_past; i < num_tokens; ++i) {
      item.symbols.push_back({.image = i < 4 ? uint64_t{5} : 0, .value = i < 4 ? i : 1 + i % 40});
    }
    item.pages = pages;
    item.first_logits = static_cast<int32_t>(item.symbols.size()) - 1;
    return item;
  }

  static void expect_close(const std::vector<float>& found, const std::vector<float>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    ASSERT_FALSE(expected.empty());
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], kTolerance) << i;
    }
  }

  // Both do the same.
  void run(const StepPlan& plan) {
    StepLogits expected, found;
    alone_.run(plan, expected);
    runner_->run(plan, found);
    if (!expected.values.empty()) expect_close(found.values, expected.values);
    EXPECT_EQ(found.values.size(), expected.values.size());
    if (!expected.maps.empty()) expect_close(found.maps, expected.maps);
    EXPECT_EQ(found.maps.size(), expected.maps.size());
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
  Context ctx_{*backend_, &pool_};
  model::LlavaModel whole_ = random_model();
  ModelRunner alone_{ctx_, whole_, kMemory.kv_dtype, kMemory.num_pages, kMemory.page_size};
  std::vector<std::unique_ptr<Follower>> followers_;
  std::unique_ptr<LeadingRank> leader_;
  model::LlavaModel share_ = random_model();
  std::unique_ptr<ParallelRunner> runner_;
  PreparedImage picture_;
};

TEST_P(ParallelRunnerTest, AnswersAsTheWholeModel) {
  EXPECT_EQ(share_.config.decoder.num_attention_heads, 4 / GetParam());
  alone_.encode(5, picture_);
  runner_->encode(5, picture_);
  run({.items = {item(0, 16, {3, 1}), item(0, 9, {5, 6})}});
  // One goes on in a copy of a page, the other in its own.
  run({.copies = {{.from = 1, .to = 4, .num_tokens = 8}},
       .items = {item(16, 20, {3, 4, 0}), item(9, 10, {5, 6})}});
  StepPlan looking{.items = {item(20, 22, {3, 4, 0})}};
  looking.items[0].look = LookQuery{.layer = model::kAllLayers, .ranges = {{0, 4}, {7, 12}}};
  run(looking);
  run({.items = {item(22, 23, {3, 4, 0})}});
  const std::vector<int32_t> ids{4, 7, 11, 3};
  expect_close(runner_->embed_text(ids), alone_.embed_text(ids));
  expect_close(runner_->embed_picture(picture_, PicturePooling::kProjected),
               alone_.embed_picture(picture_, PicturePooling::kProjected));
}

TEST_P(ParallelRunnerTest, TilesThatAllEncodeAreThoseOfOne) {
  for (const int64_t num_tiles : {2, 3, 5}) {
    PreparedImage picture;
    picture.layout.tokens_per_tile = 4;
    picture.layout.num_tokens = 4 * static_cast<int32_t>(num_tiles);
    picture.layout.tiles.resize(static_cast<std::size_t>(num_tiles));
    for (int32_t i = 0; i < picture.layout.num_tokens; ++i) {
      picture.layout.source_rows.push_back(i);
    }
    picture.pixels_ICHW = Tensor::zeros({num_tiles, 3, 28, 28}, DType::kFloat32);
    float value = -1;
    for (float& pixel : picture.pixels_ICHW.mutable_data<float>()) {
      pixel = value = value > 1 ? -1 : value + 0.31f;
    }
    alone_.encode(6, picture);
    runner_->encode(6, picture);
    EXPECT_EQ(runner_->read_features(6), alone_.read_features(6)) << num_tiles;
  }
}

TEST_P(ParallelRunnerTest, GoesOnFromPagesAndFeaturesThatWereKept) {
  alone_.encode(5, picture_);
  runner_->encode(5, picture_);
  run({.items = {item(0, 16, {3, 1})}});
  std::vector<std::byte> pages(static_cast<std::size_t>(runner_->page_bytes()) * 2);
  const std::vector<std::byte> features = runner_->read_features(5);
  runner_->read_pages(std::vector<int32_t>{3, 1}, pages);
  runner_->drop(5);
  runner_->drop_all();
  runner_->write_pages(std::vector<int32_t>{7, 2}, pages);
  StepLogits expected, found;
  alone_.run({.items = {item(16, 20, {3, 1, 0})}}, expected);
  runner_->run({.items = {item(16, 20, {7, 2, 0})}}, found);
  expect_close(found.values, expected.values);
  ASSERT_TRUE(runner_->put_features(5, picture_, features));
  EXPECT_FALSE(runner_->put_features(5, picture_, {}));
  run({.items = {item(0, 12, {5, 6})}});
}

TEST_P(ParallelRunnerTest, AStepThatFailsCanBeTriedAgain) {
  alone_.encode(5, picture_);
  // Nobody has the picture.
  StepLogits logits;
  EXPECT_ANY_THROW(runner_->run({.items = {item(0, 16, {3, 1})}}, logits));
  runner_->encode(5, picture_);
  run({.items = {item(0, 16, {3, 1})}});
}

INSTANTIATE_TEST_SUITE_P(Ranks, ParallelRunnerTest, testing::Values(1, 2, 4));

TEST(TensorParallel, RefusesWhatCannotBeCut) {
  ThreadPool pool(1);
  const auto backend = native::make_native_backend(pool);
  Context ctx{*backend, &pool};
  const auto sum = [](Context&, const Tensor& part) { return part; };
  model::LlavaModel model = random_model();
  try {
    take_share(ctx, model, {.rank = 0, .num_ranks = 3}, sum);
    ADD_FAILURE() << "four heads for three ranks";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("4 attention heads"), std::string::npos);
  }
}

TEST(StepMessage, SaysWhatAnotherRankNeeds) {
  StepPlan plan;
  plan.copies = {{.from = 1, .to = 2, .num_tokens = 3}};
  StepItem item{.sequence = 1'234'567'890'123, .num_past = 7, .pages = {4, 5}, .first_logits = 1};
  item.symbols = {{.image = 0, .value = 3},
                  {.image = 0, .value = 4},
                  {.image = uint64_t{1} << 63, .value = 0},
                  {.image = uint64_t{1} << 63, .value = 1},
                  {.image = 0, .value = 9}};
  plan.items = {item, item};
  plan.items[1].look = LookQuery{.layer = 3, .ranges = {{0, 2}, {3, 4}}};
  const StepPlan found = step_from_json(parse_json(to_text(to_json(plan)), "the test"));
  ASSERT_EQ(found.copies.size(), 1u);
  EXPECT_EQ(found.copies[0].num_tokens, 3);
  ASSERT_EQ(found.items.size(), 2u);
  for (const StepItem& other : found.items) {
    EXPECT_EQ(other.sequence, item.sequence);
    EXPECT_EQ(other.num_past, 7);
    EXPECT_EQ(other.symbols, item.symbols);
    EXPECT_EQ(other.pages, item.pages);
  }
  EXPECT_EQ(found.items[0].num_logits(), 4);
  EXPECT_EQ(found.items[1].num_logits(), 4);
  ASSERT_TRUE(found.items[1].look.has_value());
  EXPECT_EQ(found.items[1].look->layer, 3);
  EXPECT_EQ(found.items[1].look->ranges[1].begin, 3);
}

}  // namespace
}  // namespace llava::engine
