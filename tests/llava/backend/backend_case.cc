// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/backend_case.h"

#include <algorithm>
#include <cmath>

#include "llava/core/check.h"

namespace llava {

Expected::Expected(Shape result_shape) : shape(std::move(result_shape)) {
  std::size_t count = 1;
  for (const int64_t dim : shape) count *= static_cast<std::size_t>(dim);
  values.resize(count);
  errors.resize(count);
}

Tensor Arguments::tensor(Shape shape, DType dtype, double scale) {
  Tensor x = Tensor::empty(std::move(shape), DType::kFloat32);
  for (float& value : x.mutable_data<float>()) {
    value = static_cast<float>((2 * generator_.uniform() - 1) * scale);
  }
  return host_cast(x, dtype);
}

std::vector<int32_t> Arguments::indices(int64_t count, int64_t bound) {
  std::vector<int32_t> list;
  for (int64_t i = 0; i < count; ++i) {
    list.push_back(static_cast<int32_t>(generator_.below(static_cast<uint64_t>(bound))));
  }
  return list;
}

std::vector<double> to_doubles(const Tensor& x) {
  const Tensor floats = host_to_float32(x);
  const auto data = floats.data<float>();
  return {data.begin(), data.end()};
}

double rounded(double value, DType dtype) {
  const auto narrow = static_cast<float>(value);
  return to_doubles(host_cast(Tensor::from_floats({1}, {&narrow, 1}), dtype))[0];
}

double unit_at(double value, DType dtype) {
  int mantissa_bits = 23;
  int min_exponent = -126;
  if (dtype == DType::kFloat16) {
    mantissa_bits = 10;
    min_exponent = -14;
  } else if (dtype == DType::kBFloat16) {
    mantissa_bits = 7;
  }
  const int exponent = value == 0 ? min_exponent : std::ilogb(value);
  return std::ldexp(1.0, std::max(exponent, min_exponent) - mantissa_bits);
}

void expect_close(const Tensor& result, const Expected& expected, DType dtype) {
  ASSERT_EQ(result.shape(), expected.shape);
  ASSERT_EQ(result.dtype(), dtype);
  const std::vector<double> got = to_doubles(result);
  int num_wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double value = expected.values[i];
    const double bound =
        expected.errors[i] + unit_at(std::fabs(value) + expected.errors[i], dtype) / 2;
    if (std::fabs(got[i] - value) <= bound) continue;
    if (++num_wrong <= 5) {
      ADD_FAILURE() << "element " << i << " is " << got[i] << ", expected " << value << " +- "
                    << bound;
    }
  }
  EXPECT_EQ(num_wrong, 0) << "of " << got.size();
}

void expect_roundings(const Tensor& result, const Expected& expected, DType dtype) {
  LLAVA_CHECK(dtype != DType::kFloat32);
  const std::vector<double> got = to_doubles(result);
  ASSERT_EQ(got.size(), expected.values.size());
  std::size_t num_equal = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == rounded(expected.values[i], dtype)) ++num_equal;
  }
  EXPECT_GE(static_cast<double>(num_equal), 0.98 * static_cast<double>(got.size()));
}

std::string case_name(const testing::TestParamInfo<std::tuple<std::size_t, DType>>& info) {
  return test_backends()[std::get<0>(info.param)].name + "_" +
         std::string(dtype_name(std::get<1>(info.param)));
}

}  // namespace llava
