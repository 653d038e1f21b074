// SPDX-License-Identifier: Apache-2.0
//
// linear and patch_embed against sums in double precision.
#include <cmath>

#include "llava/backend/backend_case.h"

namespace llava {
namespace {

// Rows of x [T, I] times rows of weight [O, I], plus bias.
Expected product(const std::vector<double>& x, const std::vector<double>& weight,
                 const std::vector<double>& bias, int64_t num_rows, int64_t num_inputs,
                 int64_t num_outputs) {
  Expected expected({num_rows, num_outputs});
  const auto inputs = static_cast<std::size_t>(num_inputs);
  const auto outputs = static_cast<std::size_t>(num_outputs);
  for (std::size_t t = 0; t < static_cast<std::size_t>(num_rows); ++t) {
    for (std::size_t o = 0; o < outputs; ++o) {
      double sum = bias.empty() ? 0.0 : bias[o];
      double magnitude = std::fabs(sum);
      for (std::size_t i = 0; i < inputs; ++i) {
        const double term = x[t * inputs + i] * weight[o * inputs + i];
        sum += term;
        magnitude += std::fabs(term);
      }
      const auto num_terms = static_cast<double>(num_inputs + 1);
      expected.set(t * outputs + o, sum, num_terms * kFloatRoundoff * magnitude);
    }
  }
  return expected;
}

class LinearTest : public BackendCase {};

TEST_P(LinearTest, MatchesTheSumForAllShapes) {
  for (const int64_t num_rows : {1, 2, 5, 33, 70}) {
    for (const int64_t num_inputs : {1, 7, 64, 130}) {
      for (const int64_t num_outputs : {1, 5, 48, 97}) {
        for (const bool has_bias : {false, true}) {
          SCOPED_TRACE(testing::Message() << num_rows << " rows, " << num_inputs << " inputs, "
                                          << num_outputs << " outputs, bias " << has_bias);
          const Tensor x = arguments.tensor({num_rows, num_inputs}, dtype());
          const Tensor weight = arguments.tensor({num_outputs, num_inputs}, dtype(), 0.2);
          const Tensor bias = has_bias ? arguments.tensor({num_outputs}, dtype()) : Tensor();
          const Expected expected = product(to_doubles(x), to_doubles(weight),
                                            has_bias ? to_doubles(bias) : std::vector<double>(),
                                            num_rows, num_inputs, num_outputs);
          expect_close(host(ops::linear(ctx(), x, weight, bias)), expected, dtype());
        }
      }
    }
  }
}

TEST_P(LinearTest, LongSumsRoundOnce) {
  const Tensor x = arguments.tensor({6, 3000}, dtype());
  const Tensor weight = arguments.tensor({200, 3000}, dtype(), 0.05);
  const Tensor bias = arguments.tensor({200}, dtype());
  const Expected expected =
      product(to_doubles(x), to_doubles(weight), to_doubles(bias), 6, 3000, 200);
  const Tensor result = host(ops::linear(ctx(), x, weight, bias));
  expect_close(result, expected, dtype());
  if (dtype() != DType::kFloat32) expect_roundings(result, expected, dtype());
}

TEST_P(LinearTest, KeepsLeadingDimensions) {
  const Tensor weight = arguments.tensor({3, 8}, dtype());
  EXPECT_EQ(ops::linear(ctx(), arguments.tensor({2, 5, 8}, dtype()), weight, {}).shape(),
            (Shape{2, 5, 3}));
  EXPECT_EQ(ops::linear(ctx(), arguments.tensor({8}, dtype()), weight, {}).shape(), (Shape{3}));
  EXPECT_EQ(ops::linear(ctx(), arguments.tensor({0, 8}, dtype()), weight, {}).shape(),
            (Shape{0, 3}));
}

TEST_P(LinearTest, SeveralWeightsGiveWhatEachGivesAlone) {
  const Tensor x = arguments.tensor({2, 3, 48}, dtype());
  const Tensor wide = arguments.tensor({70, 48}, dtype());
  const Tensor narrow = arguments.tensor({5, 48}, dtype());
  const Tensor bias = arguments.tensor({5}, dtype());
  const Tensor none;
  const std::vector<LinearWeights> weights = {{wide, none}, {narrow, bias}};
  std::vector<Tensor> results(2);
  ops::linear_all(ctx(), x, weights, results);
  EXPECT_EQ(results[0].shape(), (Shape{2, 3, 70}));
  EXPECT_EQ(results[1].shape(), (Shape{2, 3, 5}));
  EXPECT_EQ(to_doubles(host(results[0])), to_doubles(host(ops::linear(ctx(), x, wide, none))));
  EXPECT_EQ(to_doubles(host(results[1])), to_doubles(host(ops::linear(ctx(), x, narrow, bias))));
}

TEST_P(LinearTest, ReadsAViewOfRows) {
  const Tensor x = arguments.tensor({9, 16}, dtype());
  const Tensor weight = arguments.tensor({10, 16}, dtype());
  const Expected expected =
      product(to_doubles(x.rows(2, 6)), to_doubles(weight.rows(1, 8)), {}, 4, 16, 7);
  expect_close(host(ops::linear(ctx(), x.rows(2, 6), weight.rows(1, 8), {})), expected, dtype());
}

TEST_P(LinearTest, PatchEmbedIsAConvolution) {
  // 15 pixels hold three patches of 4; the last three columns and rows are ignored.
  const int64_t size = 15;
  const int64_t side = 4;
  const int64_t channels = 3;
  const int64_t width = 10;
  const Tensor pixels = arguments.tensor({2, channels, size, size}, dtype(), 2.0);
  const Tensor weight = arguments.tensor({width, channels, side, side}, dtype(), 0.3);
  const Tensor bias = arguments.tensor({width}, dtype());
  const std::vector<double> in = to_doubles(pixels);
  std::vector<double> patches;
  for (int64_t image = 0; image < 2; ++image) {
    for (int64_t patch = 0; patch < 9; ++patch) {
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t y = 0; y < side; ++y) {
          for (int64_t x = 0; x < side; ++x) {
            const int64_t row = patch / 3 * side + y;
            const int64_t column = patch % 3 * side + x;
            patches.push_back(in[static_cast<std::size_t>(
                ((image * channels + c) * size + row) * size + column)]);
          }
        }
      }
    }
  }
  const int64_t patch_size = channels * side * side;
  for (const Tensor& used_bias : {bias, Tensor()}) {
    Expected expected =
        product(patches, to_doubles(weight),
                used_bias.is_defined() ? to_doubles(used_bias) : std::vector<double>(), 18,
                patch_size, width);
    expected.shape = {2, 9, width};
    expect_close(host(ops::patch_embed(ctx(), pixels, weight, used_bias)), expected, dtype());
  }
}

LLAVA_ON_ALL_BACKENDS(LinearTest);

}  // namespace
}  // namespace llava
