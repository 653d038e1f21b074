// SPDX-License-Identifier: Apache-2.0
#include "llava/model/llava_model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "llava/backend/native/native_backend.h"
#include "llava/core/error.h"
#include "random_model.h"

namespace llava::model {
namespace {

constexpr uint64_t kSeed = 20;

class LlavaModelTest : public testing::Test {
 protected:
  LlavaModelTest() { fill_random(model_, kSeed); }

  std::vector<int32_t> positions(int32_t begin, int32_t end) {
    std::vector<int32_t> result(static_cast<std::size_t>(end - begin));
    std::iota(result.begin(), result.end(), begin);
    return result;
  }

  // Hidden states of a whole sequence at once, without a cache.
  Tensor recompute(std::span<const int32_t> ids) {
    const auto count = static_cast<int32_t>(ids.size());
    const SequenceSlice slice{.first_token = 0, .num_tokens = count};
    return model_.decode(ctx_, model_.embed(ctx_, ids, {}, {}), positions(0, count), {&slice, 1},
                         nullptr);
  }

  std::vector<KvLayer> make_cache(int64_t num_pages, int64_t page_size) {
    const DecoderConfig& c = model_.config.decoder;
    std::vector<KvLayer> layers;
    for (int32_t i = 0; i < c.num_hidden_layers; ++i) {
      const Shape shape{num_pages, page_size, c.num_key_value_heads, c.head_dim};
      layers.push_back(
          {Tensor::zeros(shape, DType::kFloat32), Tensor::zeros(shape, DType::kFloat32)});
    }
    return layers;
  }

  static bool same_bits(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() &&
           std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0;
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
  Context ctx_{*backend_};
  LlavaModel model_{tiny_config()};
  const std::vector<int32_t> ids_{3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9};
};

TEST_F(LlavaModelTest, CachedDecodeEqualsRecomputeBitForBit) {
  const Tensor whole = recompute(ids_);
  const auto count = static_cast<int32_t>(ids_.size());
  for (const int32_t chunk : {1, 3, count}) {
    std::vector<KvLayer> layers = make_cache(5, 3);
    KvCacheView view{layers};
    for (int32_t begin = 0; begin < count; begin += chunk) {
      const int32_t end = std::min(count, begin + chunk);
      const SequenceSlice slice{
          .first_token = 0, .num_tokens = end - begin, .num_past = begin, .pages = {4, 0, 2, 1}};
      const Tensor x_TD =
          model_.embed(ctx_,
                       std::span(ids_).subspan(static_cast<std::size_t>(begin),
                                               static_cast<std::size_t>(end - begin)),
                       {}, {});
      const Tensor part = model_.decode(ctx_, x_TD, positions(begin, end), {&slice, 1}, &view);
      EXPECT_TRUE(same_bits(part, whole.rows(begin, end))) << "chunk " << chunk << " at " << begin;
    }
  }
}

TEST_F(LlavaModelTest, ASequenceDoesNotDependOnItsCompanions) {
  const Tensor alone = recompute(ids_);
  const std::vector<int32_t> other{40, 41, 42, 43};
  std::vector<int32_t> all = other;
  all.insert(all.end(), ids_.begin(), ids_.end());
  const std::vector<SequenceSlice> slices{
      {.first_token = 0, .num_tokens = 4},
      {.first_token = 4, .num_tokens = static_cast<int32_t>(ids_.size())}};
  std::vector<int32_t> all_positions = positions(0, 4);
  const std::vector<int32_t> own = positions(0, static_cast<int32_t>(ids_.size()));
  all_positions.insert(all_positions.end(), own.begin(), own.end());
  const Tensor together =
      model_.decode(ctx_, model_.embed(ctx_, all, {}, {}), all_positions, slices, nullptr);
  EXPECT_TRUE(same_bits(together.rows(4, 4 + static_cast<int64_t>(ids_.size())), alone));
}

TEST_F(LlavaModelTest, ImageRowsReplaceTheirPlaceholders) {
  const Tensor rows = Tensor::from_floats({2, 24}, std::vector<float>(48, 0.25f));
  const std::vector<int32_t> ids{1, 0, 0, 2};
  const FeatureRun run{.offset = 1, .num_rows = 2};
  const Tensor x_TD = model_.embed(ctx_, ids, rows, {&run, 1});
  const Tensor plain = model_.embed(ctx_, ids, {}, {});
  EXPECT_TRUE(same_bits(x_TD.rows(0, 1), plain.rows(0, 1)));
  EXPECT_TRUE(same_bits(x_TD.rows(1, 3), rows));
  EXPECT_TRUE(same_bits(x_TD.rows(3, 4), plain.rows(3, 4)));
  const FeatureRun wrong{.offset = 1, .num_rows = 3};
  EXPECT_THROW(model_.embed(ctx_, ids, rows, {&wrong, 1}), Error);
}

TEST_F(LlavaModelTest, MergingFollowsTheLayoutAndChecksTheCounts) {
  // Features whose value is their row number.
  Tensor features = Tensor::empty({2, 4, 24}, DType::kFloat32);
  auto values = features.mutable_data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i / 24);
  image::ImageLayout layout;
  layout.tiles = {{}, {}};
  layout.tokens_per_tile = 4;
  layout.source_rows = {7, 0, 3};
  layout.num_tokens = 3;
  const Tensor rows = model_.merge_tiles(ctx_, features, {&layout, 1});
  EXPECT_EQ(rows.data<float>()[0], 7.0f);
  EXPECT_EQ(rows.data<float>()[24], 0.0f);
  EXPECT_EQ(rows.data<float>()[48], 3.0f);
  layout.num_tokens = 4;
  EXPECT_THROW(model_.merge_tiles(ctx_, features, {&layout, 1}), Error);
}

TEST_F(LlavaModelTest, PicturesOfAnotherSizeAreRefused) {
  EXPECT_THROW(model_.encode_tiles(ctx_, Tensor::zeros({1, 3, 56, 56}, DType::kFloat32)), Error);
  EXPECT_EQ(model_.encode_tiles(ctx_, Tensor::zeros({2, 3, 28, 28}, DType::kFloat32)).shape(),
            (Shape{2, 4, 24}));
}

TEST_F(LlavaModelTest, AnAdapterIsItsMergedWeight) {
  Linear base(6, 4);
  base.weight.value = Tensor::empty({4, 6}, DType::kFloat32);
  Generator generator(kSeed);
  const auto fill = [&](Tensor& tensor) {
    for (float& value : tensor.mutable_data<float>())
      value = static_cast<float>(generator.uniform());
  };
  fill(base.weight.value);
  LoraAdapter adapter{.a_RI = Tensor::empty({2, 6}, DType::kFloat32),
                      .b_OR = Tensor::empty({4, 2}, DType::kFloat32),
                      .scale = 0.5f};
  fill(adapter.a_RI);
  fill(adapter.b_OR);
  Tensor x = Tensor::empty({3, 6}, DType::kFloat32);
  fill(x);
  Linear adapted = base;
  adapted.adapters.push_back(adapter);
  Linear merged = base;
  merged.weight.value = Tensor::empty({4, 6}, DType::kFloat32);
  for (std::size_t o = 0; o < 4; ++o) {
    for (std::size_t i = 0; i < 6; ++i) {
      float delta = 0;
      for (std::size_t r = 0; r < 2; ++r) {
        delta += adapter.b_OR.data<float>()[o * 2 + r] * adapter.a_RI.data<float>()[r * 6 + i];
      }
      merged.weight.value.mutable_data<float>()[o * 6 + i] =
          base.weight.value.data<float>()[o * 6 + i] + adapter.scale * delta;
    }
  }
  const Tensor a = adapted.forward(ctx_, x), b = merged.forward(ctx_, x);
  for (std::size_t i = 0; i < 12; ++i) {
    // Sums of at most 12 products of numbers below 1, in float32.
    EXPECT_NEAR(a.data<float>()[i], b.data<float>()[i], 12 * 6 * 1.2e-7f);
  }
}

}  // namespace
}  // namespace llava::model
