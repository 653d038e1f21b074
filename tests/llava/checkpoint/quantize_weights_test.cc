// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/quantize_weights.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "llava/core/float_formats.h"
#include "llava/core/random.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

constexpr std::array kForms = {DType::kPackedQ4, DType::kPackedQ4Min, DType::kPackedQ8,
                               DType::kPackedQ8Min, DType::kPackedQ8Half};

// Sums of uniform numbers, as good as normal ones here.
Tensor random_matrix(int64_t outputs, int64_t inputs, uint64_t seed, double mean = 0) {
  Generator generator(seed);
  Tensor x = Tensor::empty({outputs, inputs}, DType::kFloat32);
  for (float& value : x.mutable_data<float>()) {
    double sum = -3;
    for (int i = 0; i < 6; ++i) sum += generator.uniform();
    value = static_cast<float>(mean + 0.05 * sum);
  }
  return x;
}

// Sum of importance * (x - y)^2 over all weights.
double weighted_error(const Tensor& x, const Tensor& y, const std::vector<float>& importance) {
  double sum = 0;
  for (std::size_t i = 0; i < x.data<float>().size(); ++i) {
    const double lost = double{x.data<float>()[i]} - double{y.data<float>()[i]};
    sum += double{importance[i % importance.size()]} * lost * lost;
  }
  return sum;
}

// Four bits by the plain rule: the largest weight takes the code -8.
double error_of_plain_rule(const Tensor& weight) {
  double sum = 0;
  const auto x = weight.data<float>();
  for (std::size_t begin = 0; begin < x.size(); begin += 32) {
    float most = 0;
    for (std::size_t i = begin; i < begin + 32; ++i) {
      if (std::fabs(x[i]) > std::fabs(most)) most = x[i];
    }
    const float scale = float_from_f16(f16_from_float(most / -8));
    for (std::size_t i = begin; i < begin + 32; ++i) {
      const double code = std::clamp(std::nearbyint(double{x[i]} / double{scale}), -8.0, 7.0);
      sum += std::pow(double{x[i]} - code * double{scale}, 2);
    }
  }
  return sum;
}

TEST(QuantizeWeights, ErrorsAreThoseOfTheNumberOfBits) {
  ThreadPool pool(2);
  const Tensor weight = random_matrix(48, 256, 1);
  const std::vector<float> ones(1, 1.0f);
  const std::array<double, 5> most = {0.09, 0.08, 0.008, 0.008, 0.008};
  for (std::size_t f = 0; f < kForms.size(); ++f) {
    SCOPED_TRACE(dtype_name(kForms[f]));
    const QuantizedMatrix result = quantize_matrix(pool, weight, kForms[f]);
    ASSERT_EQ(result.weight.dtype(), kForms[f]);
    ASSERT_EQ(result.weight.shape(), weight.shape());
    EXPECT_LT(result.error.relative_rms(), most[f]);
    const double error = weighted_error(weight, dequantize(result.weight), ones);
    EXPECT_NEAR(result.error.squared_error, error, 1e-6 * error);
  }
}

TEST(QuantizeWeights, SearchBeatsThePlainRule) {
  ThreadPool pool(1);
  const Tensor weight = random_matrix(64, 256, 2);
  const double plain = error_of_plain_rule(weight);
  EXPECT_LT(quantize_matrix(pool, weight, DType::kPackedQ4).error.squared_error, 0.9 * plain);
}

TEST(QuantizeWeights, AMinimumServesWeightsAwayFromZero) {
  ThreadPool pool(1);
  const Tensor weight = random_matrix(16, 128, 3, /*mean=*/0.3);
  EXPECT_LT(quantize_matrix(pool, weight, DType::kPackedQ4Min).error.squared_error,
            0.5 * quantize_matrix(pool, weight, DType::kPackedQ4).error.squared_error);
}

TEST(QuantizeWeights, ImportantInputsAreKeptBetter) {
  ThreadPool pool(1);
  const Tensor weight = random_matrix(64, 128, 4);
  std::vector<float> importance(128);
  for (std::size_t i = 0; i < importance.size(); ++i) importance[i] = i % 5 == 0 ? 50.0f : 0.5f;
  for (const DType form : {DType::kPackedQ4, DType::kPackedQ4Min}) {
    const Tensor plain = dequantize(quantize_matrix(pool, weight, form).weight);
    const Tensor weighted = dequantize(quantize_matrix(pool, weight, form, importance).weight);
    EXPECT_LT(weighted_error(weight, weighted, importance),
              0.8 * weighted_error(weight, plain, importance))
        << dtype_name(form);
  }
}

TEST(QuantizeWeights, WeightsOfTheFormAreKept) {
  ThreadPool pool(1);
  Generator generator(5);
  for (const int end_code : {-8, 7}) {
    Tensor weight = Tensor::empty({16, 64}, DType::kFloat32);
    for (std::size_t i = 0; i < 16 * 64; ++i) {
      const int code = i % 32 == 3 ? end_code : static_cast<int>(generator.below(13)) - 6;
      weight.mutable_data<float>()[i] = 0.015625f * static_cast<float>(code);
    }
    EXPECT_EQ(quantize_matrix(pool, weight, DType::kPackedQ4).error.squared_error, 0.0);
  }
}

TEST(QuantizeWeights, TailsAreQuantisedLikeTheRest) {
  ThreadPool pool(2);
  for (const DType form : kForms) {
    for (const int64_t inputs : {1, 31, 33, 70}) {
      const Tensor weight = random_matrix(19, inputs, 6, /*mean=*/0.2);
      const QuantizedMatrix result = quantize_matrix(pool, weight, form);
      EXPECT_LT(result.error.relative_rms(), packed_code_bits(form) == 4 ? 0.12 : 0.01)
          << dtype_name(form) << " " << inputs;
    }
  }
}

TEST(QuantizeWeights, ThreadsAndStoredTypesChangeNothing) {
  ThreadPool one(1), three(3);
  const Tensor half = host_cast(random_matrix(50, 96, 7), DType::kFloat16);
  const Tensor a = quantize_matrix(one, half, DType::kPackedQ4Min).weight;
  const Tensor b = quantize_matrix(three, host_to_float32(half), DType::kPackedQ4Min).weight;
  EXPECT_EQ(std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()), 0);
  const Tensor floats = dequantize_matrix(three, a);
  EXPECT_TRUE(std::ranges::equal(floats.data<float>(), dequantize(a).data<float>()));
}

TEST(QuantizeWeights, ZerosStayZeros) {
  ThreadPool pool(1);
  for (const DType form : kForms) {
    const QuantizedMatrix result =
        quantize_matrix(pool, Tensor::zeros({3, 40}, DType::kFloat32), form);
    const Tensor floats = dequantize(result.weight);
    for (const float value : floats.data<float>()) EXPECT_EQ(value, 0.0f);
    EXPECT_EQ(result.error.relative_rms(), 0.0);
  }
}

TEST(QuantizeWeights, DamagedWeightsStayVisible) {
  ThreadPool pool(1);
  for (const DType form : kForms) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Tensor weight = random_matrix(2, 64, 8);
      weight.mutable_data<float>()[40] = bad;
      const Tensor floats = dequantize(quantize_matrix(pool, weight, form).weight);
      EXPECT_TRUE(std::isnan(floats.data<float>()[40])) << dtype_name(form);
      EXPECT_TRUE(std::isfinite(floats.data<float>()[10])) << dtype_name(form);
    }
  }
}

}  // namespace
}  // namespace llava::checkpoint
