// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/torch_products.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string_view>

#include "llava/kernels/dispatch.h"

namespace llava {
namespace {

using kernels::kLinearPanel;

// Rows and columns of the blocks of a transposition: two of them fit the first-level cache.
constexpr int64_t kBlock = 64;

bool is_narrow_on_cpu(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf);
}

// True where a bfloat16 product costs less than a float32 one.
bool has_bfloat16_products() { return std::string_view(kernels::active().name) == "avx512bf16"; }

bool uses_kernels(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kBFloat16 && has_bfloat16_products();
}

std::byte* scratch_of_thread() {
  constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, kAlignment); }
  };
  thread_local const std::unique_ptr<std::byte[], Free> scratch(
      new (kAlignment) std::byte[kernels::kLinearScratchBytes]);
  return scratch.get();
}

at::Tensor kernel_product(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                          const at::Tensor& bias_O) {
  const at::Tensor x = x_TI.contiguous();
  const at::Tensor weight = weight_OI.contiguous();
  const at::Tensor bias = bias_O.defined() ? bias_O.contiguous() : bias_O;
  const int64_t num_outputs = weight.size(0);
  at::Tensor out_TO = at::empty({x.size(0), num_outputs}, x.options());
  if (out_TO.numel() == 0) return out_TO;
  const kernels::LinearArgs args{.x = x.const_data_ptr(),
                                 .x_stride = x.size(1),
                                 .num_rows = x.size(0),
                                 .weight = weight.const_data_ptr(),
                                 .num_inputs = weight.size(1),
                                 .bias = bias.defined() ? bias.const_data_ptr() : nullptr,
                                 .output_begin = 0,
                                 .output_end = 0,
                                 .out = out_TO.mutable_data_ptr(),
                                 .out_stride = num_outputs,
                                 .scratch = nullptr};
  const kernels::LinearFn kernel = kernels::active().linear[kernels::kFormatBF16];
  const int64_t num_panels = (num_outputs + kLinearPanel - 1) / kLinearPanel;
  at::parallel_for(0, num_panels, 1, [&](int64_t begin, int64_t end) {
    kernels::LinearArgs part = args;
    part.output_begin = begin * kLinearPanel;
    part.output_end = std::min(num_outputs, end * kLinearPanel);
    part.scratch = scratch_of_thread();
    kernel(part);
  });
  return out_TO;
}

// x^T of a 16-bit matrix.
at::Tensor transposed(const at::Tensor& matrix_RC) {
  const at::Tensor x = matrix_RC.contiguous();
  const int64_t num_rows = x.size(0);
  const int64_t num_columns = x.size(1);
  at::Tensor out_CR = at::empty({num_columns, num_rows}, x.options());
  const auto* from = static_cast<const uint16_t*>(x.const_data_ptr());
  auto* to = static_cast<uint16_t*>(out_CR.mutable_data_ptr());
  at::parallel_for(0, (num_columns + kBlock - 1) / kBlock, 1, [&](int64_t begin, int64_t end) {
    const int64_t column_end = std::min(num_columns, end * kBlock);
    for (int64_t c = begin * kBlock; c < column_end; c += kBlock) {
      for (int64_t r = 0; r < num_rows; r += kBlock) {
        const int64_t last_row = std::min(num_rows, r + kBlock);
        for (int64_t j = c; j < std::min(column_end, c + kBlock); ++j) {
          for (int64_t i = r; i < last_row; ++i) to[j * num_rows + i] = from[i * num_columns + j];
        }
      }
    }
  });
  return out_CR;
}

at::Tensor wide(const at::Tensor& x) { return x.to(at::kFloat); }

}  // namespace

at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI, const at::Tensor& bias_O) {
  if (uses_kernels(x_TI)) return kernel_product(x_TI, weight_OI, bias_O);
  std::optional<at::Tensor> bias;
  if (bias_O.defined()) bias = bias_O;
  if (is_narrow_on_cpu(x_TI)) {
    if (bias) bias = wide(*bias);
    return at::linear(wide(x_TI), wide(weight_OI), bias).to(x_TI.scalar_type());
  }
  return at::linear(x_TI, weight_OI, bias);
}

at::Tensor product_with_columns(const at::Tensor& y_TO, const at::Tensor& weight_OI) {
  if (uses_kernels(y_TO)) return kernel_product(y_TO, transposed(weight_OI), {});
  if (is_narrow_on_cpu(y_TO)) {
    return at::mm(wide(y_TO), wide(weight_OI)).to(y_TO.scalar_type());
  }
  return at::mm(y_TO, weight_OI);
}

at::Tensor product_over_rows(const at::Tensor& y_TO, const at::Tensor& x_TI) {
  if (uses_kernels(y_TO)) return kernel_product(transposed(y_TO), transposed(x_TI), {});
  if (is_narrow_on_cpu(y_TO)) {
    return at::mm(wide(y_TO).t(), wide(x_TI)).to(y_TO.scalar_type());
  }
  return at::mm(y_TO.t(), x_TI);
}

void add_product(at::Tensor& y_TO, const at::Tensor& p_TR, const at::Tensor& q_OR, double scale) {
  if (is_narrow_on_cpu(y_TO)) {
    y_TO.add_(product(p_TR, q_OR), scale);
  } else {
    y_TO.addmm_(p_TR, q_OR.t(), 1.0, scale);
  }
}

}  // namespace llava
