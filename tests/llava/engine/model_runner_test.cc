// SPDX-License-Identifier: Apache-2.0
//
// What the runner gives away as bytes and takes back is what it had, bit for bit.
#include "llava/engine/model_runner.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "../model/random_model.h"
#include "llava/backend/native/native_backend.h"
#include "llava/image/layout.h"

namespace llava::engine {
namespace {

constexpr int32_t kPageSize = 8;
constexpr int32_t kNumPages = 8;

class ModelRunnerTest : public testing::TestWithParam<DType> {
 protected:
  ModelRunnerTest() { model::fill_random(model_, 1); }

  ModelRunner runner() { return {ctx_, model_, GetParam(), kNumPages, kPageSize}; }

  // Positions from `num_past` on of a prompt that begins with the picture, in these pages.
  StepPlan plan(int32_t num_past, int32_t num_tokens, const std::vector<int32_t>& pages) const {
    StepItem item;
    item.sequence = 1;
    item.num_past = num_past;
    for (int32_t i = num_past; i < num_tokens; ++i) {
      const bool is_picture = i < picture_.layout.num_tokens;
      item.symbols.push_back(
          {.image = is_picture ? uint64_t{5} : 0, .value = is_picture ? i : 1 + i % 40});
    }
    item.pages = pages;
    item.first_logits = static_cast<int32_t>(item.symbols.size()) - 1;
    StepPlan plan;
    plan.items.push_back(std::move(item));
    return plan;
  }

  static PreparedImage make_picture() {
    const model::VisionConfig vision = model::tiny_config().vision;
    PreparedImage picture;
    picture.layout.num_tokens = vision.num_patches();
    picture.layout.tokens_per_tile = vision.num_patches();
    picture.layout.tiles.resize(1);
    picture.layout.source_rows.resize(static_cast<std::size_t>(vision.num_patches()));
    std::iota(picture.layout.source_rows.begin(), picture.layout.source_rows.end(), 0);
    const int64_t size = vision.image_size;
    picture.pixels_ICHW = Tensor::zeros({1, 3, size, size}, DType::kFloat32);
    float value = -1;
    for (float& pixel : picture.pixels_ICHW.mutable_data<float>()) {
      pixel = value;
      value = value > 1 ? -1 : value + 0.37f;
    }
    return picture;
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
  Context ctx_{*backend_, &pool_};
  model::LlavaModel model_{model::tiny_config()};
  PreparedImage picture_ = make_picture();
};

TEST_P(ModelRunnerTest, GoesOnFromWhatAnotherComputed) {
  ModelRunner first = runner();
  first.encode(5, picture_);
  StepLogits expected, logits;
  // Two pages and a bit, in any pages.
  first.run(plan(0, 16, {3, 1}), logits);
  first.run(plan(16, 20, {3, 1, 0}), expected);
  const std::vector<int32_t> pages{3, 1};
  std::vector<std::byte> bytes(static_cast<std::size_t>(first.page_bytes()) * pages.size());
  first.read_pages(pages, bytes);

  ModelRunner second = runner();
  for (const std::vector<int32_t>& other : {std::vector<int32_t>{4, 5}, {7, 2}}) {
    second.write_pages(other, bytes);
    second.run(plan(16, 20, {other[0], other[1], 6}), logits);
    EXPECT_EQ(logits.values, expected.values);
  }
}

TEST_P(ModelRunnerTest, TakesFeaturesBack) {
  ModelRunner first = runner();
  first.encode(5, picture_);
  StepLogits expected, logits;
  first.run(plan(0, 12, {0, 1}), expected);
  const std::vector<std::byte> bytes = first.read_features(5);

  ModelRunner second = runner();
  EXPECT_FALSE(second.put_features(5, picture_, std::span(bytes).first(bytes.size() - 4)));
  EXPECT_FALSE(second.put_features(5, picture_, {}));
  ASSERT_TRUE(second.put_features(5, picture_, bytes));
  second.run(plan(0, 12, {0, 1}), logits);
  EXPECT_EQ(logits.values, expected.values);
}

INSTANTIATE_TEST_SUITE_P(KvTypes, ModelRunnerTest,
                         testing::Values(DType::kFloat32, DType::kFloat16, DType::kInt8),
                         [](const auto& one) { return std::string(dtype_name(one.param)); });

}  // namespace
}  // namespace llava::engine
