// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/merge_adapter.h"

#include <vector>

#include "llava/core/float_formats.h"

namespace llava::checkpoint {
namespace {

Tensor rounded_to_float16(const Tensor& x) {
  return host_to_float32(host_cast(x, DType::kFloat16));
}

}  // namespace

Tensor merge_adapter(const Tensor& weight_OI, const model::LoraAdapter& adapter) {
  const Tensor base = host_cast(weight_OI, DType::kFloat16);
  const Tensor a_RI = rounded_to_float16(adapter.a_RI);
  const Tensor b_OR = rounded_to_float16(adapter.b_OR);
  const auto rank = static_cast<std::size_t>(a_RI.dim(0));
  const auto num_in = static_cast<std::size_t>(base.dim(1));
  const auto a = a_RI.data<float>();
  const auto b = b_OR.data<float>();
  const auto old_values = base.data<uint16_t>();
  Tensor merged = Tensor::empty(base.shape(), DType::kFloat16);
  const auto new_values = merged.mutable_data<uint16_t>();
  std::vector<float> row(num_in);
  for (std::size_t o = 0; o < static_cast<std::size_t>(base.dim(0)); ++o) {
    std::fill(row.begin(), row.end(), 0.0f);
    for (std::size_t r = 0; r < rank; ++r) {
      const float factor = b[o * rank + r];
      for (std::size_t i = 0; i < num_in; ++i) row[i] += factor * a[r * num_in + i];
    }
    for (std::size_t i = 0; i < num_in; ++i) {
      const float delta = float_from_f16(f16_from_float(row[i] * adapter.scale));
      const float sum = float_from_f16(old_values[o * num_in + i]) + delta;
      new_values[o * num_in + i] = f16_from_float(sum);
    }
  }
  return merged;
}

}  // namespace llava::checkpoint
