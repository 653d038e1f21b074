// SPDX-License-Identifier: Apache-2.0
//
// Packed matrices: linear on quantised activations, and rows of packed tables.
#include <algorithm>
#include <array>

#include "llava/backend/native/native_backend.h"
#include "llava/core/check.h"
#include "llava/kernels/dispatch.h"
#include "llava/tensor/packed.h"

namespace llava::native {
namespace {

static_assert(kPackedPanel == kernels::kPackedPanel && kPackedGroup == kernels::kPackedGroup);

/// The first panel of a packed matrix that the kernels' layout arithmetic fits.
const std::byte* panels_of(const Tensor& weight_OI) {
  const kernels::Packed form = packed_form_of(weight_OI.dtype());
  const PackedLayout layout(weight_OI.dtype(), weight_OI.shape());
  const std::byte* panels = weight_OI.bytes().data();
  LLAVA_CHECK(layout.panel_bytes() == kernels::packed_panel_bytes(form, layout.num_inputs()) &&
              reinterpret_cast<std::uintptr_t>(panels) % 64 == 0);
  return panels;
}

/// Outputs of one part of the work: few outputs are shared evenly by the threads, many are handed
/// out as the threads ask for them. Where a matrix is cut does not change its results.
int64_t outputs_per_part(int64_t num_outputs, int num_threads) {
  constexpr int64_t kMinPartsToHandOut = 4;
  if (num_outputs >= kMinPartsToHandOut * num_threads * kernels::kPackedOutputs) {
    return kernels::kPackedOutputs;
  }
  const int64_t even = (num_outputs + num_threads - 1) / num_threads;
  return (even + kPackedPanel - 1) / kPackedPanel * kPackedPanel;
}

}  // namespace

Tensor NativeBackend::packed_linear(const Tensor& x_TI, const Tensor& weight_OI,
                                    const Tensor& bias_O) {
  const DType dtype = x_TI.dtype();
  if (dtype != DType::kFloat32) {
    const Tensor bias = bias_O.is_defined() ? cast(bias_O, DType::kFloat32) : bias_O;
    return cast(packed_linear(cast(x_TI, DType::kFloat32), weight_OI, bias), dtype);
  }
  const int64_t num_rows = x_TI.dim(0);
  const int64_t num_inputs = weight_OI.dim(1);
  const int64_t num_outputs = weight_OI.dim(0);
  Tensor out_TO = results_.empty({num_rows, num_outputs}, dtype);
  if (out_TO.numel() == 0) return out_TO;
  LLAVA_CHECK(num_inputs > 0);
  const std::byte* weight = panels_of(weight_OI);
  const kernels::PackedKernels& kernel =
      kernels::active().packed[packed_form_of(weight_OI.dtype())];

  const ScratchPool::Lease activations =
      activations_.borrow(kernels::packed_activation_bytes(num_rows, num_inputs));
  auto* codes = reinterpret_cast<kernels::PackedActivations*>(activations.data());
  const float* x = x_TI.data<float>().data();
  constexpr int64_t kMinElements = 16384;
  pool_.run_ranges(num_rows, kMinElements / num_inputs, [&](int64_t begin, int64_t end) {
    kernel.quantize({.x = x,
                     .x_stride = num_inputs,
                     .num_inputs = num_inputs,
                     .row_begin = begin,
                     .row_end = end,
                     .out = codes});
  });

  const float* bias = bias_O.is_defined() ? bias_O.data<float>().data() : nullptr;
  float* out = out_TO.mutable_data<float>().data();
  const int64_t part = outputs_per_part(num_outputs, pool_.num_threads());
  pool_.run((num_outputs + part - 1) / part, [&](int64_t index) {
    const ScratchPool::Lease scratch = scratch_.borrow(kernels::kPackedScratchBytes);
    kernel.linear({.x = codes,
                   .num_rows = num_rows,
                   .weight = weight,
                   .num_inputs = num_inputs,
                   .bias = bias,
                   .output_begin = index * part,
                   .output_end = std::min(num_outputs, (index + 1) * part),
                   .out = out,
                   .out_stride = num_outputs,
                   .scratch = scratch.data()});
  });
  return out_TO;
}

Tensor NativeBackend::packed_rows(const Tensor& table_VD, std::span<const int32_t> ids,
                                  DType dtype) {
  const int64_t width = table_VD.dim(1);
  Tensor rows = results_.empty({static_cast<int64_t>(ids.size()), width}, DType::kFloat32);
  const std::byte* table = panels_of(table_VD);
  const kernels::PackedDequantizeFn dequantize =
      kernels::active().packed[packed_form_of(table_VD.dtype())].dequantize;
  float* out = rows.mutable_data<float>().data();
  constexpr int64_t kMinElements = 16384;
  pool_.run_ranges(rows.dim(0), kMinElements / std::max<int64_t>(1, width),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       const int64_t row = ids[static_cast<std::size_t>(i)];
                       dequantize({.weight = table,
                                   .num_inputs = width,
                                   .row_begin = row,
                                   .row_end = row + 1,
                                   .out = out + i * width,
                                   .out_stride = width});
                     }
                   });
  return dtype == DType::kFloat32 ? rows : cast(rows, dtype);
}

}  // namespace llava::native
