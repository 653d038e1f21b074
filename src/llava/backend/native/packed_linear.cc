// SPDX-License-Identifier: Apache-2.0
//
// Packed matrices: linear on quantised activations, and rows of packed tables.
#include <algorithm>
#include <vector>

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

/// One of the products of a call and the parts of the work that are its own: those from
/// `first_part` on.
struct Product {
  const kernels::PackedKernels* kernels;
  kernels::PackedLinearArgs args;
  int64_t num_outputs;
  int64_t outputs_per_part;
  int64_t first_part;
};

/// Outputs of one part of the work. Where a matrix is cut does not change its results.
///
/// Few rows: the weights stream by, and each thread has a contiguous share of the parts; small ones
/// let the threads end together. Many rows: what the kernels like to have, or an even share.
int64_t outputs_per_part(int64_t num_outputs, int64_t num_rows, int num_threads) {
  constexpr int64_t kFewRows = 8;
  if (num_rows <= kFewRows) return 2 * kPackedPanel;
  constexpr int64_t kMinPartsToHandOut = 4;
  if (num_outputs >= kMinPartsToHandOut * num_threads * kernels::kPackedOutputs) {
    return kernels::kPackedOutputs;
  }
  const int64_t even = (num_outputs + num_threads - 1) / num_threads;
  return (even + kPackedPanel - 1) / kPackedPanel * kPackedPanel;
}

const float* floats_or_null(const Tensor& x) {
  return x.is_defined() ? x.data<float>().data() : nullptr;
}

}  // namespace

void NativeBackend::packed_linear(const Tensor& x_TI, std::span<const LinearWeights> weights,
                                  std::span<Tensor> results) {
  const DType dtype = x_TI.dtype();
  if (dtype != DType::kFloat32) {
    const Tensor x = cast(x_TI, DType::kFloat32);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const Tensor& bias_O = weights[i].bias_O;
      const Tensor bias = bias_O.is_defined() ? cast(bias_O, DType::kFloat32) : bias_O;
      const LinearWeights widened{weights[i].weight_OI, bias};
      packed_linear(x, {&widened, 1}, results.subspan(i, 1));
      results[i] = cast(results[i], dtype);
    }
    return;
  }
  const int64_t num_rows = x_TI.dim(0);
  const int64_t num_inputs = x_TI.dim(1);
  std::vector<Product> products;
  products.reserve(weights.size());
  int64_t num_parts = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Tensor& weight_OI = weights[i].weight_OI;
    const int64_t num_outputs = weight_OI.dim(0);
    results[i] = results_.empty({num_rows, num_outputs}, dtype);
    if (results[i].numel() == 0) continue;
    LLAVA_CHECK(num_inputs > 0);
    const int64_t part = outputs_per_part(num_outputs, num_rows, pool_.num_threads());
    products.push_back({.kernels = &kernels::active().packed[packed_form_of(weight_OI.dtype())],
                        .args = {.x = nullptr,
                                 .num_rows = num_rows,
                                 .weight = panels_of(weight_OI),
                                 .num_inputs = num_inputs,
                                 .bias = floats_or_null(weights[i].bias_O),
                                 .output_begin = 0,
                                 .output_end = 0,
                                 .out = results[i].mutable_data<float>().data(),
                                 .out_stride = num_outputs,
                                 .scratch = nullptr},
                        .num_outputs = num_outputs,
                        .outputs_per_part = part,
                        .first_part = num_parts});
    num_parts += (num_outputs + part - 1) / part;
  }
  if (products.empty()) return;

  // Weights of one form take the same codes.
  const auto first_of_form = [&](const Product& product) {
    return std::ranges::find(products, product.kernels, &Product::kernels);
  };
  const auto is_first = [&](const Product& product) {
    return &*first_of_form(product) == &product;
  };
  const auto num_forms = static_cast<std::size_t>(std::ranges::count_if(products, is_first));
  const std::size_t code_bytes = kernels::packed_activation_bytes(num_rows, num_inputs);
  const ScratchPool::Lease activations = activations_.borrow(code_bytes * num_forms);
  std::byte* free_codes = activations.data();
  for (Product& product : products) {
    product.args.x = first_of_form(product)->args.x;
    if (product.args.x != nullptr) continue;
    auto* codes = reinterpret_cast<kernels::PackedActivations*>(free_codes);
    free_codes += code_bytes;
    product.args.x = codes;
    constexpr int64_t kMinElements = 16384;
    pool_.run_ranges(num_rows, kMinElements / num_inputs, [&](int64_t begin, int64_t end) {
      product.kernels->quantize({.x = x_TI.data<float>().data(),
                                 .x_stride = num_inputs,
                                 .num_inputs = num_inputs,
                                 .row_begin = begin,
                                 .row_end = end,
                                 .out = codes});
    });
  }

  const ScratchPool::Lease scratch =
      scratch_.borrow(kernels::kPackedScratchBytes * static_cast<std::size_t>(pool_.num_threads()));
  pool_.run(num_parts, [&](int64_t index, int thread) {
    const Product& product = *std::ranges::find_if(
        products.rbegin(), products.rend(),
        [index](const Product& candidate) { return candidate.first_part <= index; });
    kernels::PackedLinearArgs args = product.args;
    args.output_begin = (index - product.first_part) * product.outputs_per_part;
    args.output_end = std::min(product.num_outputs, args.output_begin + product.outputs_per_part);
    args.scratch = scratch.data() + kernels::kPackedScratchBytes * static_cast<std::size_t>(thread);
    product.kernels->linear(args);
  });
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
