// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/torch_packed.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <memory>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/core/check.h"
#include "llava/kernels/packed.h"
#include "llava/tensor/packed.h"

namespace llava {
namespace {

// [panels, groups * halves * 16] of float16 -> [panels, 16, groups, halves] of float32.
at::Tensor per_row(const at::Tensor& bytes, int64_t num_groups, int64_t halves) {
  return bytes.contiguous()
      .view(at::kHalf)
      .view({bytes.size(0), num_groups, halves, kPackedPanel})
      .permute({0, 3, 1, 2})
      .to(at::kFloat);
}

// Codes of all groups of the panels, [panels, bytes] -> [panels, 16, groups, 32] of float32.
at::Tensor codes_of(const at::Tensor& bytes, const PackedLayout& layout) {
  const int64_t panels = bytes.size(0);
  const int64_t groups = layout.num_groups();
  const at::Tensor codes = bytes.narrow(1, 0, layout.code_offset(groups));
  at::Tensor ordered;
  if (packed_code_bits(layout.dtype()) == 4) {
    const at::Tensor pairs = codes.reshape({panels, groups, 4, kPackedPanel, 4});
    ordered =
        at::stack({pairs.bitwise_and(15), pairs.__rshift__(4)}, 3).permute({0, 4, 1, 2, 3, 5});
  } else {
    ordered = codes.reshape({panels, groups, 8, kPackedPanel, 4}).permute({0, 3, 1, 2, 4});
  }
  return ordered.reshape({panels, kPackedPanel, groups, kPackedGroup}).to(at::kFloat);
}

// Panels [panels, bytes] -> weights [panels * 16, I].
at::Tensor dequantize_panels(const at::Tensor& bytes, const PackedLayout& layout) {
  const int64_t panels = bytes.size(0);
  const int64_t groups = layout.num_groups();
  const int64_t halves = layout.dtype() == DType::kPackedQ8Half ? 2 : 1;
  const int64_t scale_begin = layout.scale_offset(0);
  const int64_t scale_bytes = layout.scale_offset(groups) - scale_begin;
  const at::Tensor scales = per_row(bytes.narrow(1, scale_begin, scale_bytes), groups, halves);
  at::Tensor weights = (codes_of(bytes, layout) - static_cast<double>(zero_code(layout.dtype())))
                           .view({panels, kPackedPanel, groups, halves, kPackedGroup / halves}) *
                       scales.unsqueeze(-1);
  if (has_minimum(layout.dtype())) {
    const int64_t begin = layout.minimum_offset(0);
    const int64_t count = layout.minimum_offset(groups) - begin;
    weights = weights + per_row(bytes.narrow(1, begin, count), groups, 1).unsqueeze(-1);
  }
  return weights.reshape({panels * kPackedPanel, groups * kPackedGroup})
      .narrow(1, 0, layout.num_inputs());
}

at::Tensor panels_of(const Tensor& packed_OI, const PackedLayout& layout) {
  return packed_bytes_at(packed_OI).view({layout.num_panels(), layout.panel_bytes()});
}

}  // namespace

at::Tensor packed_bytes_at(const Tensor& packed_OI) {
  LLAVA_CHECK(packed_OI.is_defined() && is_packed(packed_OI.dtype()));
  if (const auto* storage = dynamic_cast<const TorchStorage*>(packed_OI.storage().get())) {
    return storage->tensor();
  }
  return at::from_blob(
      packed_OI.storage()->host_data(), {packed_OI.num_bytes()},
      [storage = packed_OI.storage()](void*) {}, at::TensorOptions().dtype(at::kByte));
}

Tensor packed_to_device(const Tensor& packed_OI, at::Device device) {
  return Tensor(std::make_shared<TorchStorage>(packed_bytes_at(packed_OI).to(device)),
                packed_OI.dtype(), packed_OI.shape());
}

at::Tensor dequantize_at(const Tensor& packed_OI) {
  const PackedLayout layout(packed_OI.dtype(), packed_OI.shape());
  return dequantize_panels(panels_of(packed_OI, layout), layout).narrow(0, 0, layout.num_outputs());
}

at::Tensor dequantize_rows_at(const Tensor& packed_OI, const at::Tensor& rows) {
  const PackedLayout layout(packed_OI.dtype(), packed_OI.shape());
  const at::Tensor panel_of_row = rows.floor_divide(kPackedPanel);
  const at::Tensor panels = panels_of(packed_OI, layout).index_select(0, panel_of_row);
  // Row i's panel has become panel i.
  const at::Tensor weights =
      dequantize_panels(panels, layout).view({rows.size(0), kPackedPanel, layout.num_inputs()});
  const at::Tensor index =
      (rows - panel_of_row * kPackedPanel).view({-1, 1, 1}).expand({-1, 1, layout.num_inputs()});
  return weights.gather(1, index).squeeze(1);
}

at::Tensor quantized_activations(const at::Tensor& x_TI, DType form) {
  const int64_t block = kernels::packed_activation_block(
      packed_code_bits(form) == 4 ? kernels::kPackedQ4 : kernels::kPackedQ8);
  const int64_t num_inputs = x_TI.size(1);
  const int64_t num_blocks = (num_inputs + block - 1) / block;
  const at::Tensor blocks = at::constant_pad_nd(x_TI, {0, num_blocks * block - num_inputs}, 0)
                                .view({x_TI.size(0), num_blocks, block});
  const at::Tensor most = blocks.abs().amax(-1, /*keepdim=*/true);
  // Tensors and not numbers: a number over a tensor is rounded twice.
  const at::Tensor most_code = at::full_like(most, 127.0);
  const at::Tensor codes = (blocks * (most_code / most)).round();
  const at::Tensor rounded = at::where(most < static_cast<double>(kernels::kPackedSmallest),
                                       at::zeros_like(codes), codes * (most / most_code));
  return rounded.view({x_TI.size(0), num_blocks * block}).narrow(1, 0, num_inputs);
}

}  // namespace llava
