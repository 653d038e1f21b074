// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/merge_adapter.h"

#include <algorithm>
#include <array>
#include <span>

#include "llava/core/float_formats.h"
#include "llava/core/function_ref.h"

namespace llava::checkpoint {
namespace {

Tensor rounded_to_float16(const Tensor& x) {
  return host_to_float32(host_cast(x, DType::kFloat16));
}

// Columns taken at a time, so that what is read of A for every row stays in the processor's cache.
constexpr std::size_t kColumns = 512;

// Adds factors[r] times row r of A, all columns of `sums` by the rank in order. Four ranks a pass
// change nothing in that order.
void add_ranks(std::span<const float> factors, const float* a, std::size_t num_in,
               std::span<float> sums) {
  std::size_t r = 0;
  for (; r + 4 <= factors.size(); r += 4) {
    const float* rows = a + r * num_in;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      float sum = sums[i] + factors[r] * rows[i];
      sum += factors[r + 1] * rows[num_in + i];
      sum += factors[r + 2] * rows[2 * num_in + i];
      sums[i] = sum + factors[r + 3] * rows[3 * num_in + i];
    }
  }
  for (; r < factors.size(); ++r) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += factors[r] * a[r * num_in + i];
  }
}

// The product B A, piece by piece: `use(position, values)` gets elements that lie in a row from
// `position` on. Sums go over the rank in order, so that an element is the same whatever else is
// computed; rows are split over the pool.
void for_each_piece(ThreadPool* pool, const Tensor& a_RI, const Tensor& b_OR,
                    FunctionRef<void(std::size_t, std::span<const float>)> use) {
  const auto rank = static_cast<std::size_t>(a_RI.dim(0));
  const auto num_in = static_cast<std::size_t>(a_RI.dim(1));
  const float* a = a_RI.data<float>().data();
  const auto b = b_OR.data<float>();
  const auto compute = [&](int64_t begin, int64_t end) {
    std::array<float, kColumns> buffer{};
    for (std::size_t column = 0; column < num_in; column += kColumns) {
      const std::span sums = std::span(buffer).first(std::min(kColumns, num_in - column));
      for (auto o = static_cast<std::size_t>(begin); o < static_cast<std::size_t>(end); ++o) {
        std::ranges::fill(sums, 0.0f);
        add_ranks(b.subspan(o * rank, rank), a + column, num_in, sums);
        use(o * num_in + column, sums);
      }
    }
  };
  if (pool != nullptr) {
    pool->run_ranges(b_OR.dim(0), 1, compute);
  } else {
    compute(0, b_OR.dim(0));
  }
}

}  // namespace

Tensor merge_adapter(const Tensor& weight_OI, const model::LoraAdapter& adapter, ThreadPool* pool) {
  const Tensor base = host_cast(weight_OI, DType::kFloat16);
  const auto old_values = base.data<uint16_t>();
  Tensor merged = Tensor::empty(base.shape(), DType::kFloat16);
  const auto new_values = merged.mutable_data<uint16_t>();
  for_each_piece(pool, rounded_to_float16(adapter.a_RI), rounded_to_float16(adapter.b_OR),
                 [&](std::size_t position, std::span<const float> product) {
                   for (std::size_t i = 0; i < product.size(); ++i) {
                     const float delta = float_from_f16(f16_from_float(product[i] * adapter.scale));
                     const float sum = float_from_f16(old_values[position + i]) + delta;
                     new_values[position + i] = f16_from_float(sum);
                   }
                 });
  return merged;
}

Tensor merge_adapter_exactly(const Tensor& weight_OI, const model::LoraAdapter& adapter,
                             DType dtype, ThreadPool* pool) {
  const Tensor base = host_to_float32(weight_OI);
  const auto old_values = base.data<float>();
  Tensor merged = Tensor::empty(base.shape(), DType::kFloat32);
  const auto new_values = merged.mutable_data<float>();
  for_each_piece(pool, host_to_float32(adapter.a_RI), host_to_float32(adapter.b_OR),
                 [&](std::size_t position, std::span<const float> product) {
                   for (std::size_t i = 0; i < product.size(); ++i) {
                     new_values[position + i] =
                         old_values[position + i] + adapter.scale * product[i];
                   }
                 });
  return host_cast(merged, dtype);
}

}  // namespace llava::checkpoint
