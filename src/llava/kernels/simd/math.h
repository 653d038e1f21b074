// SPDX-License-Identifier: Apache-2.0
//
// Vector exp, Gaussian distribution and the activations made of them, for any instruction set `I`
// (x86/avx512_vector.h lists what such a type offers). Measured errors are in docs/kernels.md.
//
// The headers of this folder are compiled once per instruction set. Everything is in an anonymous
// namespace, so no file's code can be taken by the linker for another's.
#pragma once

#include "llava/kernels/kernel_table.h"

namespace llava::kernels {
namespace {

/// e^x for every float: 0 below the smallest subnormal, infinity above the largest number.
template <class I>
[[gnu::always_inline]] inline typename I::V exp(typename I::V x) {
  using V = typename I::V;
  // Outside these bounds the result is 0 or infinity; the operand order keeps a NaN.
  x = I::min(I::set1(89.0f), I::max(I::set1(-104.0f), x));
  const V n = I::round_nearest(I::mul(x, I::set1(1.44269504f)));
  // ln 2 in two floats; the remainder is within +-ln(2)/2.
  V r = I::fnma(n, I::set1(0.693147182464599609375f), x);
  r = I::fnma(n, I::set1(-1.904654299957768e-9f), r);
  // Minimax fit of (e^r - 1 - r) / r^2, error 3e-9 of e^r (weighted least squares, 40 digits).
  V p = I::set1(0.0013950495f);
  p = I::fma(p, r, I::set1(0.008368892f));
  p = I::fma(p, r, I::set1(0.041666206f));
  p = I::fma(p, r, I::set1(0.16666518f));
  p = I::fma(p, r, I::set1(0.5f));
  p = I::fma(p, I::mul(r, r), r);
  return I::scale_by_power_of_two(I::add(p, I::set1(1.0f)), n);
}

template <class I>
[[gnu::always_inline]] inline typename I::V sigmoid(typename I::V x) {
  const typename I::V one = I::set1(1.0f);
  return I::div(one, I::add(one, exp<I>(I::sub(I::zero(), x))));
}

/// The normal distribution function, 0.5 (1 + erf(x / sqrt 2)), without cancellation in the tail.
/// Without `is_full`, the tail is good to 2^-17 of itself, which is enough below float32.
template <class I, bool is_full>
[[gnu::always_inline]] inline typename I::V normal_cdf(typename I::V x) {
  using V = typename I::V;
  const V a = I::min(I::set1(15.0f), I::abs(x));
  const V square = I::mul(a, a);
  V tail = exp<I>(I::mul(square, I::set1(-0.5f)));
  if constexpr (is_full) {
    // The rounding error of a^2 put back.
    const V rest = I::fma(a, a, I::sub(I::zero(), square));
    tail = I::fnma(tail, I::mul(rest, I::set1(0.5f)), tail);
  }
  // Minimax fit of (a + 4) (1 - cdf(a)) e^(a^2/2) in s = (a - 4) / (a + 4), for a up to 15.
  const V t = I::div(I::set1(1.0f), I::add(a, I::set1(4.0f)));
  const V s = I::mul(I::sub(a, I::set1(4.0f)), t);
  // Pairs of coefficients first (Estrin): the chain of dependent steps is what takes the time.
  const auto pair = [s](float low, float high) { return I::fma(I::set1(high), s, I::set1(low)); };
  const V s2 = I::mul(s, s);
  const V s4 = I::mul(s2, s2);
  V p;
  if constexpr (is_full) {  // relative error 9e-9
    const V p_03 = I::fma(pair(0.38713690638542175f, -0.1865234375f), s2,
                          pair(0.7552851438522339f, -0.6078965663909912f));
    const V p_47 = I::fma(pair(-0.003512553870677948f, 0.0015699234791100025f), s2,
                          pair(0.06040383130311966f, -0.007525271270424128f));
    const V p_89 = pair(0.0001793541305232793f, -0.0001319718430750072f);
    p = I::fma(I::fma(p_89, s4, p_47), s4, p_03);
  } else {  // relative error 3.2e-6
    const V p_03 = I::fma(pair(0.38703468441963196f, -0.18668793141841888f), s2,
                          pair(0.7552871108055115f, -0.607885479927063f));
    const V p_46 = I::fma(I::set1(-0.0046572438441216946f), s2,
                          pair(0.06110471859574318f, -0.0066636004485189915f));
    p = I::fma(p_46, s4, p_03);
  }
  const V q = I::mul(I::mul(tail, t), p);
  return I::select_negative(x, q, I::sub(I::set1(1.0f), q));
}

template <class I, bool is_full>
[[gnu::always_inline]] inline typename I::V gelu(typename I::V x) {
  return I::mul(x, normal_cdf<I, is_full>(x));
}

/// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3).
template <class I>
[[gnu::always_inline]] inline typename I::V gelu_tanh(typename I::V x) {
  using V = typename I::V;
  const V cubic = I::fma(I::mul(x, x), I::set1(0.044715f), I::set1(1.0f));
  return I::mul(x, sigmoid<I>(I::mul(I::mul(x, cubic), I::set1(1.5957691216057308f))));
}

template <class I>
[[gnu::always_inline]] inline typename I::V quick_gelu(typename I::V x) {
  return I::mul(x, sigmoid<I>(I::mul(x, I::set1(1.702f))));
}

template <class I>
[[gnu::always_inline]] inline typename I::V silu(typename I::V x) {
  return I::mul(x, sigmoid<I>(x));
}

template <class I>
[[gnu::always_inline]] inline typename I::V relu(typename I::V x) {
  return I::max(I::zero(), x);
}

}  // namespace
}  // namespace llava::kernels
