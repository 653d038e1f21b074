// SPDX-License-Identifier: Apache-2.0
//
// rms_norm and layer_norm.
#include <cmath>

#include "llava/backend/backend_case.h"

namespace llava {
namespace {

constexpr float kEpsilon = 1e-5f;

class NormTest : public BackendCase {};

TEST_P(NormTest, RmsNormRoundsBeforeTheWeight) {
  for (const int64_t width : {1, 8, 65, 1024}) {
    SCOPED_TRACE(width);
    const Tensor x = arguments.tensor({2, 5, width}, dtype(), 2.0);
    const Tensor weight = arguments.tensor({width}, dtype(), 1.5);
    const std::vector<double> in = to_doubles(x);
    const std::vector<double> w = to_doubles(weight);
    Expected expected({2, 5, width});
    const auto count = static_cast<std::size_t>(width);
    for (std::size_t row = 0; row < 10; ++row) {
      double sum = 0;
      for (std::size_t i = 0; i < count; ++i) sum += in[row * count + i] * in[row * count + i];
      const double scale =
          1 / std::sqrt(sum / static_cast<double>(width) + static_cast<double>(kEpsilon));
      for (std::size_t i = 0; i < count; ++i) {
        const double scaled = rounded(in[row * count + i] * scale, dtype());
        // The scale is off by at most (width + 4) roundings, which may also tip a tie.
        const double error =
            (static_cast<double>(width) + 4) * kFloatRoundoff * std::fabs(scaled * w[i]) +
            unit_at(scaled, dtype()) * std::fabs(w[i]);
        expected.set(row * count + i, scaled * w[i], error);
      }
    }
    const Tensor result = host(ops::rms_norm(ctx(), x, weight, kEpsilon));
    expect_close(result, expected, dtype());
    if (dtype() != DType::kFloat32) expect_roundings(result, expected, dtype());
  }
}

TEST_P(NormTest, RmsNormOfZeroIsZero) {
  const Tensor x = Tensor::zeros({1, 16}, dtype());
  const Tensor weight = arguments.tensor({16}, dtype());
  for (const double value : to_doubles(host(ops::rms_norm(ctx(), x, weight, kEpsilon)))) {
    EXPECT_EQ(value, 0.0);
  }
}

TEST_P(NormTest, LayerNormRoundsOnce) {
  for (const int64_t width : {2, 8, 65, 1024}) {
    for (const double offset : {0.0, 3.0}) {
      SCOPED_TRACE(testing::Message() << "width " << width << ", offset " << offset);
      Tensor x = host_to_float32(arguments.tensor({7, width}, dtype(), 2.0));
      for (float& value : x.mutable_data<float>()) value += static_cast<float>(offset);
      x = host_cast(x, dtype());
      const Tensor weight = arguments.tensor({width}, dtype(), 1.5);
      const Tensor bias = arguments.tensor({width}, dtype());
      const std::vector<double> in = to_doubles(x);
      const std::vector<double> w = to_doubles(weight);
      const std::vector<double> b = to_doubles(bias);
      Expected expected({7, width});
      const auto count = static_cast<std::size_t>(width);
      for (std::size_t row = 0; row < 7; ++row) {
        double mean = 0;
        double magnitude = 0;
        for (std::size_t i = 0; i < count; ++i) {
          mean += in[row * count + i] / static_cast<double>(width);
          magnitude = std::max(magnitude, std::fabs(in[row * count + i]));
        }
        double variance = 0;
        for (std::size_t i = 0; i < count; ++i) {
          const double difference = in[row * count + i] - mean;
          variance += difference * difference / static_cast<double>(width);
        }
        const double scale = 1 / std::sqrt(variance + static_cast<double>(kEpsilon));
        for (std::size_t i = 0; i < count; ++i) {
          const double centred = (in[row * count + i] - mean) * scale;
          // The mean is off by width roundings of the largest element; the variance, also when it
          // is a difference of squares, by width roundings of its square.
          const double roundings = (static_cast<double>(width) + 8) * kFloatRoundoff;
          const double error =
              roundings *
                  (magnitude * scale +
                   std::fabs(centred) * (1 + magnitude * magnitude * scale * scale)) *
                  std::fabs(w[i]) +
              4 * kFloatRoundoff * (std::fabs(centred * w[i]) + std::fabs(b[i]));
          expected.set(row * count + i, centred * w[i] + b[i], error);
        }
      }
      const Tensor result = host(ops::layer_norm(ctx(), x, weight, bias, kEpsilon));
      expect_close(result, expected, dtype());
      if (dtype() != DType::kFloat32 && width > 2) expect_roundings(result, expected, dtype());
    }
  }
}

TEST_P(NormTest, LayerNormOfAConstantIsTheBias) {
  Tensor x = Tensor::empty({1, 32}, DType::kFloat32);
  for (float& value : x.mutable_data<float>()) value = 0.75f;
  const Tensor weight = arguments.tensor({32}, dtype());
  const Tensor bias = arguments.tensor({32}, dtype());
  const Tensor result = ops::layer_norm(ctx(), host_cast(x, dtype()), weight, bias, kEpsilon);
  EXPECT_EQ(to_doubles(host(result)), to_doubles(bias));
}

LLAVA_ON_ALL_BACKENDS(NormTest);

}  // namespace
}  // namespace llava
