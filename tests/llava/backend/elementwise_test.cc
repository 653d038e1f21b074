// SPDX-License-Identifier: Apache-2.0
//
// Element-wise operations and rope.
#include <cmath>
#include <functional>
#include <numbers>

#include "llava/backend/backend_case.h"

namespace llava {
namespace {

// exp, erf and tanh may be off by this many units of float32 in either backend.
constexpr double kFunctionUnits = 8.0;

class ElementwiseTest : public BackendCase {
 protected:
  // Arguments that include zero, both ends of the range and every sign.
  Tensor sweep(double range) {
    Tensor x = Tensor::empty({601}, DType::kFloat32);
    auto data = x.mutable_data<float>();
    for (std::size_t i = 0; i < data.size(); ++i) {
      data[i] = static_cast<float>(range * (static_cast<double>(i) - 300.0) / 300.0);
    }
    return host_cast(x, dtype());
  }
};

TEST_P(ElementwiseTest, AddRoundsOnce) {
  const Tensor x = arguments.tensor({5, 67}, dtype());
  const Tensor y = arguments.tensor({5, 67}, dtype(), 4.0);
  const std::vector<double> a = to_doubles(x);
  const std::vector<double> b = to_doubles(y);
  Expected expected({5, 67});
  for (std::size_t i = 0; i < a.size(); ++i) expected.set(i, a[i] + b[i], 0);
  expect_close(host(ops::add(ctx(), x, y)), expected, dtype());
}

TEST_P(ElementwiseTest, AddScaledRoundsTheProductFirst) {
  const float scale = 0.3f;
  const Tensor x = arguments.tensor({9, 301}, dtype());
  const Tensor y = arguments.tensor({9, 301}, dtype(), 4.0);
  const std::vector<double> a = to_doubles(x);
  const std::vector<double> b = to_doubles(y);
  Expected expected({9, 301});
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double product = rounded(static_cast<double>(scale) * b[i], dtype());
    expected.set(i, a[i] + product, unit_at(product, dtype()) / 64);
  }
  const Tensor result = host(ops::add_scaled(ctx(), x, y, scale));
  expect_close(result, expected, dtype());
  if (dtype() != DType::kFloat32) expect_roundings(result, expected, dtype());
}

TEST_P(ElementwiseTest, Activations) {
  const double sqrt_half = std::sqrt(0.5);
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const auto gelu_tanh = [](double v) {
    const double inner = std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v);
    return 0.5 * v * (1 + std::tanh(inner));
  };
  const std::vector<std::pair<Activation, std::function<double(double)>>> kinds{
      {Activation::kGelu, [&](double v) { return 0.5 * v * (1 + std::erf(v * sqrt_half)); }},
      {Activation::kGeluTanh, gelu_tanh},
      {Activation::kQuickGelu, [&](double v) { return v * sigmoid(1.702 * v); }},
      {Activation::kSilu, [&](double v) { return v * sigmoid(v); }},
      {Activation::kRelu, [](double v) { return std::max(v, 0.0); }},
  };
  for (const auto& [kind, function] : kinds) {
    for (const double range : {2.0, 12.0, 90.0}) {
      SCOPED_TRACE(testing::Message() << "kind " << static_cast<int>(kind) << ", range " << range);
      const Tensor x = sweep(range);
      const std::vector<double> in = to_doubles(x);
      Expected expected({601});
      for (std::size_t i = 0; i < in.size(); ++i) {
        // In float32 the tails of gelu are differences of nearly equal numbers, and the exponent of
        // a sigmoid carries |x| roundings: the error is relative to x, not to the small result.
        const double scale = std::fabs(in[i]) + std::fabs(function(in[i]) * in[i]);
        const double error =
            kind == Activation::kRelu ? 0 : kFunctionUnits * kFloatRoundoff * scale;
        expected.set(i, function(in[i]), error);
      }
      expect_close(host(ops::activation(ctx(), x, kind)), expected, dtype());
    }
  }
}

TEST_P(ElementwiseTest, ActivationsKeepLargeValuesFinite) {
  const std::vector<float> large{-60000.0f, -300.0f, 0.0f, 300.0f, 60000.0f};
  const Tensor x = host_cast(Tensor::from_floats({5}, large), dtype());
  const std::vector<double> in = to_doubles(x);
  for (const Activation kind : {Activation::kGelu, Activation::kGeluTanh, Activation::kQuickGelu,
                                Activation::kSilu, Activation::kRelu}) {
    const std::vector<double> out = to_doubles(host(ops::activation(ctx(), x, kind)));
    for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], std::max(in[i], 0.0));
  }
}

TEST_P(ElementwiseTest, SiluMulRoundsSiluFirst) {
  const Tensor gate = arguments.tensor({13, 257}, dtype(), 6.0);
  const Tensor up = arguments.tensor({13, 257}, dtype(), 3.0);
  const std::vector<double> g = to_doubles(gate);
  const std::vector<double> u = to_doubles(up);
  Expected expected({13, 257});
  for (std::size_t i = 0; i < g.size(); ++i) {
    const double silu = rounded(g[i] / (1 + std::exp(-g[i])), dtype());
    // A silu beside a tie may round the other way.
    const double error =
        (unit_at(silu, dtype()) + kFunctionUnits * kFloatRoundoff) * std::fabs(u[i]);
    expected.set(i, silu * u[i], error);
  }
  const Tensor result = host(ops::silu_mul(ctx(), gate, up));
  expect_close(result, expected, dtype());
  if (dtype() != DType::kFloat32) expect_roundings(result, expected, dtype());
}

TEST_P(ElementwiseTest, RopeRoundsProductsAndSum) {
  for (const int64_t head : {2, 16, 64, 80, 128}) {
    const int64_t tokens = 7;
    const int64_t heads = 3;
    const Tensor x = arguments.tensor({tokens, heads, head}, dtype(), 3.0);
    const Tensor cos = arguments.tensor({tokens, head}, dtype());
    const Tensor sin = arguments.tensor({tokens, head}, dtype());
    const std::vector<double> v = to_doubles(x);
    const std::vector<double> c = to_doubles(cos);
    const std::vector<double> s = to_doubles(sin);
    Expected expected({tokens, heads, head});
    const auto width = static_cast<std::size_t>(head);
    for (std::size_t i = 0; i < v.size(); ++i) {
      const std::size_t e = i % width;
      const std::size_t angle = i / (width * static_cast<std::size_t>(heads)) * width + e;
      const double other = e < width / 2 ? -v[i + width / 2] : v[i - width / 2];
      const double direct = rounded(v[i] * c[angle], dtype());
      const double turned = rounded(other * s[angle], dtype());
      expected.set(i, direct + turned, 0);
    }
    expect_close(host(ops::rope(ctx(), x, cos, sin)), expected, dtype());
  }
}

LLAVA_ON_ALL_BACKENDS(ElementwiseTest);

}  // namespace
}  // namespace llava
