// SPDX-License-Identifier: Apache-2.0
//
// Element-wise kernels, conversions, norms and the rotary embedding for any instruction set. The
// last, partial vector goes through the same instructions as the full ones, so that an element's
// result does not depend on its place.
#pragma once

#include "llava/kernels/kernel_table.h"
#include "llava/kernels/simd/math.h"

namespace llava::kernels {
namespace {

template <class I, class T>
[[gnu::always_inline]] inline typename I::V load_some(const T* p, int64_t n) {
  return n >= I::kLanes ? I::load(p) : I::load_first(p, n);
}

template <class I, class T>
[[gnu::always_inline]] inline void store_some(T* p, typename I::V v, int64_t n) {
  if (n >= I::kLanes) {
    I::store(p, v);
  } else {
    I::store_first(p, v, n);
  }
}

/// v rounded to the element format T.
template <class I, class T>
[[gnu::always_inline]] inline typename I::V round_to(typename I::V v) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return v;
  } else {
    return I::widen(I::narrow(v, T{}), T{});
  }
}

template <class I, class T>
void to_float(const void* in, float* out, int64_t count) noexcept {
  const T* x = static_cast<const T*>(in);
  for (int64_t i = 0; i < count; i += I::kLanes) {
    store_some<I>(out + i, load_some<I>(x + i, count - i), count - i);
  }
}

template <class I, class T>
void from_float(const float* in, void* out, int64_t count) noexcept {
  T* y = static_cast<T*>(out);
  for (int64_t i = 0; i < count; i += I::kLanes) {
    store_some<I>(y + i, load_some<I>(in + i, count - i), count - i);
  }
}

template <class I, class T, class Function>
[[gnu::always_inline]] inline void map(const void* in, void* out, int64_t count,
                                       Function function) {
  const T* x = static_cast<const T*>(in);
  T* y = static_cast<T*>(out);
  int64_t i = 0;
  // Two independent vectors in flight: one alone leaves the multipliers waiting for its own chain.
  for (; i + 2 * I::kLanes <= count; i += 2 * I::kLanes) {
    const typename I::V first = function(I::load(x + i));
    const typename I::V second = function(I::load(x + i + I::kLanes));
    I::store(y + i, first);
    I::store(y + i + I::kLanes, second);
  }
  for (; i < count; i += I::kLanes) {
    store_some<I>(y + i, function(load_some<I>(x + i, count - i)), count - i);
  }
}

template <class I, class T>
void unary(const void* x, void* out, int64_t count, Unary kind) noexcept {
  using V = typename I::V;
  switch (kind) {
    case kUnaryGelu:
      return map<I, T>(x, out, count, [](V v) { return gelu<I, sizeof(T) == sizeof(float)>(v); });
    case kUnaryGeluTanh:
      return map<I, T>(x, out, count, [](V v) { return gelu_tanh<I>(v); });
    case kUnaryQuickGelu:
      return map<I, T>(x, out, count, [](V v) { return quick_gelu<I>(v); });
    case kUnarySilu:
      return map<I, T>(x, out, count, [](V v) { return silu<I>(v); });
    case kUnaryRelu:
      return map<I, T>(x, out, count, [](V v) { return relu<I>(v); });
  }
}

template <class I, class T>
void add_scaled(const void* x, const void* y, float scale, void* out, int64_t count) noexcept {
  const T* a = static_cast<const T*>(x);
  const T* b = static_cast<const T*>(y);
  T* sum = static_cast<T*>(out);
  const typename I::V factor = I::set1(scale);
  for (int64_t i = 0; i < count; i += I::kLanes) {
    const int64_t n = count - i;
    const typename I::V scaled = round_to<I, T>(I::mul(load_some<I>(b + i, n), factor));
    store_some<I>(sum + i, I::add(load_some<I>(a + i, n), scaled), n);
  }
}

template <class I, class T>
void silu_mul(const void* gate, const void* up, void* out, int64_t count) noexcept {
  const T* a = static_cast<const T*>(gate);
  const T* b = static_cast<const T*>(up);
  T* product = static_cast<T*>(out);
  for (int64_t i = 0; i < count; i += I::kLanes) {
    const int64_t n = count - i;
    const typename I::V gated = round_to<I, T>(silu<I>(load_some<I>(a + i, n)));
    store_some<I>(product + i, I::mul(gated, load_some<I>(b + i, n)), n);
  }
}

/// Sum of function(vector) over a row: four running vectors, vector i of the row in running vector
/// i mod 4, then ((0 + 1) + (2 + 3)), then the instruction set's lane reduction. The lanes of the
/// last vector beyond the row are passed to `function` as zeros and dropped from its result.
template <class I, class T, class Function>
[[gnu::always_inline]] inline float sum_row(const T* x, int64_t width, Function function) {
  using V = typename I::V;
  V sums[4] = {I::zero(), I::zero(), I::zero(), I::zero()};
  int64_t i = 0;
  for (; i + 4 * I::kLanes <= width; i += 4 * I::kLanes) {
    for (int k = 0; k < 4; ++k) {
      sums[k] = I::add(sums[k], function(I::load(x + i + k * I::kLanes)));
    }
  }
  for (int k = 0; i < width; ++k, i += I::kLanes) {
    const int64_t n = width - i;
    V term = function(load_some<I>(x + i, n));
    if (n < I::kLanes) term = I::keep_range(term, I::zero(), 0, n);
    sums[k] = I::add(sums[k], term);
  }
  return I::reduce_add(I::add(I::add(sums[0], sums[1]), I::add(sums[2], sums[3])));
}

template <class I, class T>
void rms_norm(const void* x, const void* weight, float epsilon, void* out, int64_t num_rows,
              int64_t width) noexcept {
  using V = typename I::V;
  const T* w = static_cast<const T*>(weight);
  for (int64_t r = 0; r < num_rows; ++r) {
    const T* row = static_cast<const T*>(x) + r * width;
    T* y = static_cast<T*>(out) + r * width;
    const float sum = sum_row<I>(row, width, [](V v) { return I::mul(v, v); });
    const V inverse = I::set1(1.0f / __builtin_sqrtf(sum / static_cast<float>(width) + epsilon));
    for (int64_t i = 0; i < width; i += I::kLanes) {
      const int64_t n = width - i;
      const V scaled = round_to<I, T>(I::mul(load_some<I>(row + i, n), inverse));
      store_some<I>(y + i, I::mul(scaled, load_some<I>(w + i, n)), n);
    }
  }
}

template <class I, class T>
void layer_norm(const void* x, const void* weight, const void* bias, float epsilon, void* out,
                int64_t num_rows, int64_t width) noexcept {
  using V = typename I::V;
  const T* w = static_cast<const T*>(weight);
  const T* b = static_cast<const T*>(bias);
  const float count = static_cast<float>(width);
  for (int64_t r = 0; r < num_rows; ++r) {
    const T* row = static_cast<const T*>(x) + r * width;
    T* y = static_cast<T*>(out) + r * width;
    const V mean = I::set1(sum_row<I>(row, width, [](V v) { return v; }) / count);
    const float squares = sum_row<I>(row, width, [mean](V v) {
      const V d = I::sub(v, mean);
      return I::mul(d, d);
    });
    const V inverse = I::set1(1.0f / __builtin_sqrtf(squares / count + epsilon));
    for (int64_t i = 0; i < width; i += I::kLanes) {
      const int64_t n = width - i;
      const V scaled = I::mul(I::sub(load_some<I>(row + i, n), mean), inverse);
      store_some<I>(y + i, I::fma(scaled, load_some<I>(w + i, n), load_some<I>(b + i, n)), n);
    }
  }
}

template <class I, class T>
void rope(const void* x, const void* cos, const void* sin, void* out, int64_t num_heads,
          int64_t head_width) noexcept {
  using V = typename I::V;
  const int64_t half = head_width / 2;
  const T* c = static_cast<const T*>(cos);
  const T* s = static_cast<const T*>(sin);
  const auto rounded = [](V a, V b) { return round_to<I, T>(I::mul(a, b)); };
  for (int64_t h = 0; h < num_heads; ++h) {
    const T* low = static_cast<const T*>(x) + h * head_width;
    const T* high = low + half;
    T* y = static_cast<T*>(out) + h * head_width;
    for (int64_t i = 0; i < half; i += I::kLanes) {
      const int64_t n = half - i;
      const V a = load_some<I>(low + i, n);
      const V b = load_some<I>(high + i, n);
      const V y_low =
          I::sub(rounded(a, load_some<I>(c + i, n)), rounded(b, load_some<I>(s + i, n)));
      const V y_high = I::add(rounded(b, load_some<I>(c + half + i, n)),
                              rounded(a, load_some<I>(s + half + i, n)));
      store_some<I>(y + i, y_low, n);
      store_some<I>(y + half + i, y_high, n);
    }
  }
}

}  // namespace
}  // namespace llava::kernels
