// SPDX-License-Identifier: Apache-2.0
//
// How the packed matrices' kernels multiply unsigned codes of weights by signed codes of
// activations on x86, on a base `B` of any width: with the dot product of bytes, and without it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llava::kernels {
namespace {

#define LLAVA_INLINE [[gnu::always_inline]] static inline

/// VNNI: four products added to an int32, without saturation.
template <class B>
struct DotProducts : B {
  using Weight = typename B::Int;
  using Sum = typename B::Int;

  template <bool is_4_bit>
  LLAVA_INLINE Weight load_codes(const std::byte* p) {
    return B::load_bytes(p);
  }
  LLAVA_INLINE void load_nibbles(const std::byte* p, Weight& low, Weight& high) {
    const typename B::Int bytes = B::load_bytes(p);
    low = B::low_nibbles(bytes);
    high = B::high_nibbles(bytes);
  }
  template <bool is_4_bit>
  LLAVA_INLINE Sum start(int32_t first) {
    return B::set1_int(first);
  }
  template <bool is_4_bit>
  LLAVA_INLINE void accumulate(Sum& sum, Weight w, typename B::X x) {
    sum = B::add_dot_bytes(sum, w, x);
  }
  template <bool is_4_bit>
  LLAVA_INLINE typename B::Int finish(Sum sum, int32_t) {
    return sum;
  }
};

/// Two products added to an int16 that would saturate: codes are taken in halves of 4 bits. A pair
/// of products is then at most 2 * 15 * 127 = 3810, and the 8 of a group at most 30480.
template <class B>
struct SplitProducts : B {
  struct Weight {
    typename B::Int low;
    typename B::Int high;
  };
  struct Sum {
    typename B::Int low;
    typename B::Int high;
  };

  template <bool is_4_bit>
  LLAVA_INLINE Weight load_codes(const std::byte* p) {
    const typename B::Int bytes = B::load_bytes(p);
    if constexpr (is_4_bit) {
      return {bytes, bytes};
    } else {
      return {B::low_nibbles(bytes), B::high_nibbles(bytes)};
    }
  }
  LLAVA_INLINE void load_nibbles(const std::byte* p, Weight& low, Weight& high) {
    const typename B::Int bytes = B::load_bytes(p);
    low.low = B::low_nibbles(bytes);
    high.low = B::high_nibbles(bytes);
  }
  template <bool is_4_bit>
  LLAVA_INLINE Sum start(int32_t) {
    return {B::set1_int(0), B::set1_int(0)};
  }
  template <bool is_4_bit>
  LLAVA_INLINE void accumulate(Sum& sum, Weight w, typename B::X x) {
    sum.low = B::add_words(sum.low, B::multiply_bytes(w.low, x));
    if constexpr (!is_4_bit) sum.high = B::add_words(sum.high, B::multiply_bytes(w.high, x));
  }
  template <bool is_4_bit>
  LLAVA_INLINE typename B::Int finish(Sum sum, int32_t first) {
    typename B::Int total = B::add_ints(B::set1_int(first), B::add_pairs(sum.low, 1));
    if constexpr (!is_4_bit) total = B::add_ints(total, B::add_pairs(sum.high, 16));
    return total;
  }
};

#undef LLAVA_INLINE

}  // namespace
}  // namespace llava::kernels
