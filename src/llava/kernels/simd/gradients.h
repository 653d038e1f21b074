// SPDX-License-Identifier: Apache-2.0
//
// Gradients of what training runs most between matrix products, for any instruction set: one pass
// over memory each.
#pragma once

#include "llava/kernels/kernel_table.h"
#include "llava/kernels/simd/elementwise.h"

namespace llava::kernels {
namespace {

template <class I, class T>
void silu_mul_gradient(const void* gate, const void* up, const void* gradient, void* gate_gradient,
                       void* up_gradient, int64_t count) noexcept {
  using V = typename I::V;
  const T* a = static_cast<const T*>(gate);
  const T* b = static_cast<const T*>(up);
  const T* g = static_cast<const T*>(gradient);
  T* a_gradient = static_cast<T*>(gate_gradient);
  T* b_gradient = static_cast<T*>(up_gradient);
  const V one = I::set1(1.0f);
  for (int64_t i = 0; i < count; i += I::kLanes) {
    const int64_t n = count - i;
    const V x = load_some<I>(a + i, n);
    const V y = load_some<I>(g + i, n);
    const V s = sigmoid<I>(x);
    const V silu_gradient = round_to<I, T>(I::mul(y, load_some<I>(b + i, n)));
    const V slope = I::mul(s, I::fma(x, I::sub(one, s), one));
    store_some<I>(b_gradient + i, I::mul(y, round_to<I, T>(I::mul(x, s))), n);
    store_some<I>(a_gradient + i, I::mul(silu_gradient, slope), n);
  }
}

template <class I, class T>
void rms_norm_gradient(const void* x, const void* weight, float epsilon, const void* gradient,
                       void* x_gradient, float* weight_gradient, int64_t num_rows,
                       int64_t width) noexcept {
  using V = typename I::V;
  const T* w = static_cast<const T*>(weight);
  const float count = static_cast<float>(width);
  for (int64_t r = 0; r < num_rows; ++r) {
    const T* row = static_cast<const T*>(x) + r * width;
    const T* g = static_cast<const T*>(gradient) + r * width;
    T* out = static_cast<T*>(x_gradient) + r * width;
    const float squares = sum_row<I>(row, width, [](V v) { return I::mul(v, v); });
    const float inverse = 1.0f / __builtin_sqrtf(squares / count + epsilon);
    // The lanes beyond the row are zeros in all three.
    V sums[2] = {I::zero(), I::zero()};
    for (int64_t i = 0, k = 0; i < width; i += I::kLanes, k ^= 1) {
      const int64_t n = width - i;
      const V weighted = I::mul(load_some<I>(g + i, n), load_some<I>(w + i, n));
      sums[k] = I::fma(weighted, load_some<I>(row + i, n), sums[k]);
    }
    const float dot = I::reduce_add(I::add(sums[0], sums[1]));
    const V scale = I::set1(inverse);
    const V pull = I::set1(dot * inverse * inverse / count);
    for (int64_t i = 0; i < width; i += I::kLanes) {
      const int64_t n = width - i;
      const V v = load_some<I>(row + i, n);
      const V y = load_some<I>(g + i, n);
      const V weighted = I::mul(y, load_some<I>(w + i, n));
      store_some<I>(out + i, I::mul(scale, I::fnma(pull, v, weighted)), n);
      if (weight_gradient == nullptr) continue;
      const V scaled = round_to<I, T>(I::mul(v, scale));
      store_some<I>(weight_gradient + i, I::fma(y, scaled, load_some<I>(weight_gradient + i, n)),
                    n);
    }
  }
}

}  // namespace
}  // namespace llava::kernels
