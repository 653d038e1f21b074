// SPDX-License-Identifier: Apache-2.0
//
// What a conformance case is made of: a backend and dtype to run on, random arguments, and a
// double-precision expectation with the error each element may have.
//
// Tolerances. A case gives, per element, the exact value and the largest error of the float32
// arithmetic before the last rounding; `expect_close` adds half a unit of the dtype. A sum of n
// products may be off by n * 2^-24 times the sum of their magnitudes, whatever its order.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "llava/backend/test_backends.h"
#include "llava/core/random.h"
#include "llava/tensor/ops.h"

namespace llava {

/// Half a unit in the last place of float32 at 1.
inline constexpr double kFloatRoundoff = 0x1.0p-24;

/// Values and allowed errors of a result.
struct Expected {
  Shape shape;
  std::vector<double> values;
  std::vector<double> errors;

  explicit Expected(Shape result_shape);
  void set(std::size_t i, double value, double error) {
    values[i] = value;
    errors[i] = error;
  }
};

/// Random tensors with a fixed seed, as host tensors of the dtype.
class Arguments {
 public:
  explicit Arguments(uint64_t seed) : generator_(seed) {}

  /// Uniform in [-scale, scale], rounded to the dtype.
  Tensor tensor(Shape shape, DType dtype, double scale = 1.0);
  std::vector<int32_t> indices(int64_t count, int64_t bound);
  Generator& generator() { return generator_; }

 private:
  Generator generator_;
};

/// Elements of a host tensor of floats.
std::vector<double> to_doubles(const Tensor& x);
/// `value` rounded to the dtype.
double rounded(double value, DType dtype);
/// Distance between neighbours of the dtype around `value`.
double unit_at(double value, DType dtype);

/// Every element within its error and half a unit of the dtype of the expectation.
void expect_close(const Tensor& result, const Expected& expected, DType dtype);
/// At least 98 % of the elements equal the rounded expectation exactly: the documented roundings
/// are in their places, and only values beside a tie may differ. 16-bit dtypes only.
void expect_roundings(const Tensor& result, const Expected& expected, DType dtype);

/// A case that runs on each backend in each compute dtype.
class BackendCase : public testing::TestWithParam<std::tuple<std::size_t, DType>> {
 protected:
  const TestBackend& test_backend() const { return test_backends()[std::get<0>(GetParam())]; }
  DType dtype() const { return std::get<1>(GetParam()); }
  Context& ctx() { return context_; }
  Tensor host(const Tensor& x) { return ops::to_host(context_, x); }

  Arguments arguments{20240601};

 private:
  std::unique_ptr<Backend> backend_ = test_backend().make(2);
  Context context_{*backend_};
};

/// "torch_bfloat16".
std::string case_name(const testing::TestParamInfo<std::tuple<std::size_t, DType>>& info);

}  // namespace llava

/// Instantiates a suite derived from BackendCase for every backend and dtype.
#define LLAVA_ON_ALL_BACKENDS(suite)                                                       \
  INSTANTIATE_TEST_SUITE_P(                                                                \
      All, suite,                                                                          \
      testing::Combine(testing::Range(std::size_t{0}, ::llava::test_backends().size()),    \
                       testing::Values(::llava::DType::kFloat32, ::llava::DType::kFloat16, \
                                       ::llava::DType::kBFloat16)),                        \
      ::llava::case_name)
