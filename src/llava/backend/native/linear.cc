// SPDX-License-Identifier: Apache-2.0
//
// Matrix products: linear and patch_embed.
#include <algorithm>
#include <cstring>
#include <utility>

#include "llava/backend/native/native_backend.h"
#include "llava/core/check.h"
#include "llava/kernels/dispatch.h"

namespace llava::native {
namespace {

const void* data_or_null(const Tensor& x) {
  return x.is_defined() ? static_cast<const void*>(x.bytes().data()) : nullptr;
}

/// Writes image `image`'s patches as rows [P, C * p * p], channels outermost, as the weight has
/// them.
void cut_patches(const Tensor& pixels_ICHW, int64_t image, int64_t patch, Tensor& rows) {
  const int64_t item = item_size(pixels_ICHW.dtype());
  const int64_t channels = pixels_ICHW.dim(1);
  const int64_t height = pixels_ICHW.dim(2);
  const int64_t width = pixels_ICHW.dim(3);
  const std::byte* source = pixels_ICHW.bytes().data() + image * channels * height * width * item;
  std::byte* out = rows.mutable_bytes().data();
  const auto line_bytes = static_cast<std::size_t>(patch * item);
  for (int64_t y = 0; y + patch <= height; y += patch) {
    for (int64_t x = 0; x + patch <= width; x += patch) {
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t line = 0; line < patch; ++line) {
          std::memcpy(out, source + ((c * height + y + line) * width + x) * item, line_bytes);
          out += line_bytes;
        }
      }
    }
  }
}

}  // namespace

void NativeBackend::run_linear(const kernels::LinearArgs& args, int64_t num_outputs, DType dtype) {
  LLAVA_CHECK(args.num_inputs > 0);
  if (args.num_rows == 0) return;
  const kernels::LinearFn kernel = kernels::active().linear[format_of(dtype)];
  const int64_t num_panels = (num_outputs + kernels::kLinearPanel - 1) / kernels::kLinearPanel;
  pool_.run(num_panels, [&](int64_t panel) {
    const ScratchPool::Lease scratch = scratch_.borrow(kernels::kLinearScratchBytes);
    kernels::LinearArgs part = args;
    part.output_begin = panel * kernels::kLinearPanel;
    part.output_end = std::min(num_outputs, part.output_begin + kernels::kLinearPanel);
    part.scratch = scratch.data();
    kernel(part);
  });
}

Tensor NativeBackend::linear(const Tensor& x_TI, const Tensor& weight_OI, const Tensor& bias_O) {
  if (is_packed(weight_OI.dtype())) {
    const LinearWeights weights{weight_OI, bias_O};
    Tensor result;
    packed_linear(x_TI, {&weights, 1}, {&result, 1});
    return result;
  }
  const int64_t num_outputs = weight_OI.dim(0);
  Tensor out_TO = results_.empty({x_TI.dim(0), num_outputs}, x_TI.dtype());
  run_linear({.x = x_TI.bytes().data(),
              .x_stride = x_TI.dim(1),
              .num_rows = x_TI.dim(0),
              .weight = weight_OI.bytes().data(),
              .num_inputs = weight_OI.dim(1),
              .bias = data_or_null(bias_O),
              .out = out_TO.mutable_bytes().data(),
              .out_stride = num_outputs},
             num_outputs, x_TI.dtype());
  return out_TO;
}

void NativeBackend::linear_all(const Tensor& x_TI, std::span<const LinearWeights> weights,
                               std::span<Tensor> results) {
  if (std::ranges::all_of(
          weights, [](const LinearWeights& each) { return is_packed(each.weight_OI.dtype()); })) {
    packed_linear(x_TI, weights, results);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      results[i] = with_low_rank(std::move(results[i]), weights[i].low_rank);
    }
    return;
  }
  Backend::linear_all(x_TI, weights, results);
}

Tensor NativeBackend::patch_embed(const Tensor& pixels_ICHW, const Tensor& weight_DCpp,
                                  const Tensor& bias_D) {
  const DType dtype = pixels_ICHW.dtype();
  const int64_t num_images = pixels_ICHW.dim(0);
  const int64_t patch = weight_DCpp.dim(2);
  const int64_t num_patches = (pixels_ICHW.dim(2) / patch) * (pixels_ICHW.dim(3) / patch);
  const int64_t num_inputs = weight_DCpp.numel() / std::max<int64_t>(1, weight_DCpp.dim(0));
  const int64_t num_outputs = weight_DCpp.dim(0);
  Tensor out_IPD = results_.empty({num_images, num_patches, num_outputs}, dtype);
  Tensor rows = results_.empty({num_patches, num_inputs}, dtype);
  for (int64_t image = 0; image < num_images; ++image) {
    cut_patches(pixels_ICHW, image, patch, rows);
    run_linear({.x = rows.bytes().data(),
                .x_stride = num_inputs,
                .num_rows = num_patches,
                .weight = weight_DCpp.bytes().data(),
                .num_inputs = num_inputs,
                .bias = data_or_null(bias_D),
                .out = out_IPD.rows(image, image + 1).mutable_bytes().data(),
                .out_stride = num_outputs},
               num_outputs, dtype);
  }
  return out_IPD;
}

}  // namespace llava::native
