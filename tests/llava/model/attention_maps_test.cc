// SPDX-License-Identifier: Apache-2.0
//
// Maps of attention are the softmax of the published definition, whatever the cache's dtype, its
// pages and the chunks in which a sequence comes, and cost a pass that asks for none nothing.
#include "llava/model/attention_maps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "llava/backend/native/native_backend.h"
#include "llava/core/error.h"
#include "llava/core/random.h"
#include "random_model.h"

namespace llava::model {
namespace {

constexpr int64_t kPageSize = 8;
constexpr int64_t kHeads = 4;
constexpr int64_t kKeyHeads = 2;
constexpr int64_t kWidth = 6;

class AttentionMapsTest : public testing::Test {
 protected:
  Tensor random_tensor(const Shape& shape) {
    Tensor tensor = Tensor::empty(shape, DType::kFloat32);
    for (float& value : tensor.mutable_data<float>()) {
      value = static_cast<float>(4 * random_.uniform() - 2);
    }
    return tensor;
  }

  /// Pages of random keys; values are not looked at.
  KvLayer random_layer(DType dtype) {
    const Shape shape{5, kPageSize, kKeyHeads, kWidth};
    KvLayer layer{Tensor::zeros(shape, dtype), Tensor::zeros(shape, dtype)};
    if (dtype != DType::kInt8) {
      layer.key_pages = host_cast(random_tensor(shape), dtype);
      return layer;
    }
    for (int8_t& code : layer.key_pages.mutable_data<int8_t>()) {
      code = static_cast<int8_t>(static_cast<int>(random_.below(255)) - 127);
    }
    layer.key_scales = random_tensor({5, kPageSize, kKeyHeads});
    return layer;
  }

  static double key_at(const KvLayer& layer, int64_t row, int64_t head, int64_t i) {
    const auto at = static_cast<std::size_t>((row * kKeyHeads + head) * kWidth + i);
    if (layer.key_scales.is_defined()) {
      return double{layer.key_scales.data<float>()[at / kWidth]} *
             layer.key_pages.data<int8_t>()[at];
    }
    return host_to_float32(layer.key_pages).data<float>()[at];
  }

  /// One row of the definition, mean over the heads, in float64.
  static std::vector<double> row_of(const Tensor& q_THE, int64_t token, const KvLayer& layer,
                                    const SequenceSlice& slice, const AttentionSpec& spec) {
    const int64_t position = slice.num_past + token - slice.first_token;
    const int64_t num_keys = int64_t{slice.num_past} + slice.num_tokens;
    std::vector<double> mean(static_cast<std::size_t>(num_keys), 0.0);
    const auto q = q_THE.data<float>();
    for (int64_t head = 0; head < kHeads; ++head) {
      std::vector<double> weights(mean.size(), 0.0);
      double total = 0;
      for (int64_t key = 0; key <= position; ++key) {
        if (spec.window > 0 && key <= position - spec.window) continue;
        const int64_t page = slice.pages[static_cast<std::size_t>(key / kPageSize)];
        double score = 0;
        for (int64_t i = 0; i < kWidth; ++i) {
          score +=
              double{q[static_cast<std::size_t>((token * kHeads + head) * kWidth + i)]} *
              key_at(layer, page * kPageSize + key % kPageSize, head / (kHeads / kKeyHeads), i);
        }
        weights[static_cast<std::size_t>(key)] = std::exp(score * double{spec.scale});
        total += weights[static_cast<std::size_t>(key)];
      }
      for (std::size_t key = 0; key < mean.size(); ++key)
        mean[key] += weights[key] / total / kHeads;
    }
    return mean;
  }

  Generator random_{17};
  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
  Context ctx_{*backend_, &pool_};
};

TEST_F(AttentionMapsTest, AreTheDefinition) {
  for (const DType dtype : {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kInt8}) {
    for (const int32_t window : {0, 7}) {
      SCOPED_TRACE(std::string(dtype_name(dtype)) + ", window " + std::to_string(window));
      const KvLayer layer = random_layer(dtype);
      const Tensor q_THE = random_tensor({7, kHeads, kWidth});
      // The second of two sequences, in pages out of order, with positions in the cache already.
      const std::vector<SequenceSlice> slices{
          {.first_token = 0, .num_tokens = 2, .num_past = 3, .pages = {4}},
          {.first_token = 2, .num_tokens = 5, .num_past = 14, .pages = {3, 0, 1}}};
      const AttentionSpec spec{.scale = 0.4f, .is_causal = true, .window = window};
      AttentionMaps maps({{.sequence = 1, .first_row = 2, .ranges = {{0, 19}}},
                          {.sequence = 1, .first_row = 4, .ranges = {{2, 5}, {16, 18}}},
                          {.sequence = 0, .first_row = 0, .layer = 0, .ranges = {{0, 5}}}});
      maps.add_layer(ctx_, q_THE, layer, slices, spec);

      // Scores have a rounding for each product and sum; e^x turns that into a relative error of
      // the probabilities, twice for the quotient.
      const double most = kWidth * 2.0 * 2.0 * (dtype == DType::kInt8 ? 127 : 1) * 0.4;
      const double tolerance = 2 * most * (kWidth + 2) * 0x1.0p-24 + 0x1.0p-22;
      const std::vector<float> whole = maps.map(0);
      ASSERT_EQ(whole.size(), 3u * 19u);
      for (int64_t row = 0; row < 3; ++row) {
        const auto expected = row_of(q_THE, 2 + 2 + row, layer, slices[1], spec);
        for (std::size_t key = 0; key < 19; ++key) {
          const float found = whole[static_cast<std::size_t>(row) * 19 + key];
          EXPECT_NEAR(found, expected[key], tolerance * expected[key] + 1e-30)
              << "row " << row << ", key " << key;
        }
      }
      const auto last = row_of(q_THE, 6, layer, slices[1], spec);
      const std::vector<float> part = maps.map(1);
      ASSERT_EQ(part.size(), 5u);
      for (std::size_t i = 0; i < 5; ++i) {
        const double expected = last[i < 3 ? 2 + i : 13 + i];
        EXPECT_NEAR(part[i], expected, tolerance * expected + 1e-30);
      }
      EXPECT_EQ(maps.map(2).size(), 2u * 5u);
    }
  }
}

TEST_F(AttentionMapsTest, RowsSumToOne) {
  const KvLayer layer = random_layer(DType::kFloat32);
  const Tensor q_THE = random_tensor({20, kHeads, kWidth});
  const SequenceSlice slice{.first_token = 0, .num_tokens = 20, .num_past = 0, .pages = {2, 1, 4}};
  AttentionMaps maps({{.sequence = 0, .first_row = 0, .ranges = {{0, 20}}}});
  maps.add_layer(ctx_, q_THE, layer, {&slice, 1}, {.scale = 1.0f});
  maps.add_layer(ctx_, q_THE, random_layer(DType::kFloat32), {&slice, 1}, {.scale = 1.0f});
  const std::vector<float> map = maps.map(0);
  for (std::size_t row = 0; row < 20; ++row) {
    double sum = 0;
    for (std::size_t key = 0; key < 20; ++key) {
      const float value = map[row * 20 + key];
      if (key > row) {
        EXPECT_EQ(value, 0.0f) << "row " << row << " sees " << key;
      }
      sum += double{value};
    }
    EXPECT_NEAR(sum, 1.0, 20 * 0x1.0p-24);
  }
}

TEST_F(AttentionMapsTest, OfALayerIsThatLayers) {
  const Tensor q_THE = random_tensor({3, kHeads, kWidth});
  const SequenceSlice slice{.first_token = 0, .num_tokens = 3, .num_past = 0, .pages = {0}};
  const std::vector<KvLayer> layers{random_layer(DType::kFloat32), random_layer(DType::kFloat32)};
  const auto map_of = [&](int32_t layer, std::span<const KvLayer> shown) {
    AttentionMaps maps({{.sequence = 0, .first_row = 0, .layer = layer, .ranges = {{0, 3}}}});
    for (const KvLayer& each : shown) maps.add_layer(ctx_, q_THE, each, {&slice, 1}, {});
    return maps.map(0);
  };
  const auto first = map_of(0, layers);
  const auto second = map_of(1, layers);
  const auto mean = map_of(kAllLayers, layers);
  EXPECT_EQ(first, map_of(kAllLayers, std::span(layers).first(1)));
  EXPECT_NE(first, second);
  for (std::size_t i = 0; i < mean.size(); ++i) {
    EXPECT_NEAR(mean[i], (double{first[i]} + double{second[i]}) / 2, 0x1.0p-24);
  }
  AttentionMaps beyond({{.sequence = 0, .first_row = 0, .layer = 2, .ranges = {{0, 3}}}});
  for (const KvLayer& each : layers) beyond.add_layer(ctx_, q_THE, each, {&slice, 1}, {});
  EXPECT_THROW(beyond.map(0), Error);
}

// Through the model: the same bits in any chunks, and nothing else changes.
TEST_F(AttentionMapsTest, DoNotDependOnChunksAndChangeNothing) {
  LlavaModel model(tiny_config());
  fill_random(model, 3);
  const DecoderConfig& c = model.config.decoder;
  const std::vector<int32_t> ids{3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 3, 2, 3};
  const auto num_tokens = static_cast<int32_t>(ids.size());
  const auto run = [&](const std::vector<int32_t>& ends, bool has_maps, std::vector<float>& map) {
    std::vector<KvLayer> layers;
    for (int32_t i = 0; i < c.num_hidden_layers; ++i) {
      const Shape shape{3, kPageSize, c.num_key_value_heads, c.head_dim};
      layers.push_back(
          {Tensor::zeros(shape, DType::kFloat32), Tensor::zeros(shape, DType::kFloat32)});
    }
    KvCacheView view{layers};
    Tensor hidden_TD;
    for (std::size_t i = 0; i < ends.size(); ++i) {
      const int32_t begin = i == 0 ? 0 : ends[i - 1];
      const int32_t count = ends[i] - begin;
      std::vector<int32_t> positions(static_cast<std::size_t>(count));
      std::iota(positions.begin(), positions.end(), begin);
      const SequenceSlice slice{
          .first_token = 0, .num_tokens = count, .num_past = begin, .pages = {1, 0}};
      AttentionMaps maps({{.sequence = 0, .first_row = 0, .ranges = {{0, std::min(3, ends[i])}}}});
      const auto part =
          std::span(ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
      hidden_TD = model.decode(ctx_, model.embed(ctx_, part, {}, {}), positions, {&slice, 1}, &view,
                               {}, has_maps ? &maps : nullptr);
      if (!has_maps || begin < 3) continue;
      const std::vector<float> rows = maps.map(0);
      map.insert(map.end(), rows.begin(), rows.end());
    }
    return hidden_TD.rows(hidden_TD.dim(0) - 1, hidden_TD.dim(0));
  };
  std::vector<float> whole, pieces, single, none;
  const Tensor expected = run({3, num_tokens}, false, none);
  for (auto* map : {&whole, &pieces, &single}) {
    std::vector<int32_t> ends{3, num_tokens};
    if (map == &pieces) ends = {3, 5, 9, num_tokens};
    if (map == &single) ends = {3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    const Tensor hidden_TD = run(ends, true, *map);
    EXPECT_EQ(
        std::memcmp(hidden_TD.bytes().data(), expected.bytes().data(), expected.bytes().size()), 0);
  }
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(whole.size(), 11u * 3u);
  EXPECT_EQ(pieces, whole);
  EXPECT_EQ(single, whole);
}

}  // namespace
}  // namespace llava::model
