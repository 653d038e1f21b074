// SPDX-License-Identifier: Apache-2.0
//
// Overflow-checked arithmetic on sizes that come from outside.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>

namespace llava {

/// a + b, or nothing when the sum does not fit.
template <std::integral T>
constexpr std::optional<T> checked_add(T a, T b) noexcept {
  T result{};
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// a * b, or nothing when the product does not fit.
template <std::integral T>
constexpr std::optional<T> checked_mul(T a, T b) noexcept {
  T result{};
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// Product of non-negative dimensions, or nothing when one is negative or the product overflows.
constexpr std::optional<int64_t> checked_product(std::span<const int64_t> dims) noexcept {
  int64_t product = 1;
  for (const int64_t dim : dims) {
    if (dim < 0) return std::nullopt;
    const auto next = checked_mul(product, dim);
    if (!next) return std::nullopt;
    product = *next;
  }
  return product;
}

}  // namespace llava
