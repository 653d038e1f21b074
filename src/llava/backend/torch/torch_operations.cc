// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/torch_operations.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/silu.h>

#include <optional>

#include "llava/backend/torch/coded_weight.h"
#include "llava/backend/torch/torch_packed.h"
#include "llava/backend/torch/torch_products.h"
#include "llava/backend/torch/torch_recorded.h"
#include "llava/core/check.h"

namespace llava {
namespace {

// From this many rows on, product() costs less than LibTorch's 16-bit product (measured on AVX-512
// with float16: 27 ms against 124 ms for 577 x 1024 x 4096).
constexpr int64_t kMinRowsForProduct = 32;

at::Tensor activate(const at::Tensor& x, Activation kind) {
  switch (kind) {
    case Activation::kGelu:
      return at::gelu(x, "none");
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kQuickGelu: {
      const at::Tensor wide = x.to(at::kFloat);
      return (wide * (wide * 1.702).sigmoid()).to(x.scalar_type());
    }
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kRelu:
      return x.relu();
  }
  fail(ErrorCode::kInternal, "unknown activation {}", static_cast<int>(kind));
}

}  // namespace

Tensor TorchBackend::embedding(const Tensor& table_VD, std::span<const int32_t> ids, DType dtype) {
  return run([&] {
    const at::Tensor rows = index_tensor(ids);
    const at::Tensor values = is_packed(table_VD.dtype())
                                  ? dequantize_rows_at(use_packed(table_VD), rows)
                                  : at::embedding(use(table_VD), rows);
    return from_at(values.to(scalar_type(dtype)));
  });
}

at::Tensor TorchBackend::linear_rows(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                                     const at::Tensor& bias_O) const {
  if (is_recording_) return recorded_linear(x_TI, weight_OI, bias_O);
  if (x_TI.scalar_type() != at::kFloat && x_TI.size(0) >= kMinRowsForProduct) {
    return product(x_TI, weight_OI, bias_O);
  }
  std::optional<at::Tensor> bias;
  if (bias_O.defined()) bias = bias_O;
  return at::linear(x_TI, weight_OI, bias);
}

Tensor TorchBackend::linear(const Tensor& x_TI, const Tensor& weight_OI, const Tensor& bias_O) {
  return run([&] {
    std::optional<at::Tensor> bias;
    if (bias_O.is_defined()) bias = use(bias_O);
    if (auto codes = coded_storage(weight_OI)) {
      return from_at(coded_linear(use(x_TI), std::move(codes), bias));
    }
    if (is_packed(weight_OI.dtype())) {
      const at::Tensor x = use(x_TI);
      if (bias) bias = bias->to(at::kFloat);
      const at::Tensor codes = quantized_activations(x.to(at::kFloat), weight_OI.dtype());
      return from_at(
          at::linear(codes, dequantize_at(use_packed(weight_OI)), bias).to(x.scalar_type()));
    }
    return from_at(linear_rows(use(x_TI), use(weight_OI), bias.value_or(at::Tensor())));
  });
}

void TorchBackend::linear_all(const Tensor& x_TI, std::span<const LinearWeights> weights,
                              std::span<Tensor> results) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const LinearWeights& each = weights[i];
    if (!is_recording_ || each.low_rank.size() != 1 || is_packed(each.weight_OI.dtype()) ||
        coded_storage(each.weight_OI) != nullptr) {
      Backend::linear_all(x_TI, weights.subspan(i, 1), results.subspan(i, 1));
      continue;
    }
    const LowRankTerm& term = each.low_rank.front();
    const bool sees_own = term.x.storage() == x_TI.storage();
    results[i] = run([&] {
      return from_at(recorded_linear(use(x_TI), use(each.weight_OI),
                                     each.bias_O.is_defined() ? use(each.bias_O) : at::Tensor(),
                                     {.x_TI = sees_own ? at::Tensor() : use(term.x),
                                      .a_RI = use(term.a_RI),
                                      .b_OR = use(term.b_OR),
                                      .scale = static_cast<double>(term.scale)}));
    });
  }
}

// As a matrix product over unfolded patches: cuDNN's convolutions would use TF32 for float32.
Tensor TorchBackend::patch_embed(const Tensor& pixels_ICHW, const Tensor& weight_DCpp,
                                 const Tensor& bias_D) {
  return run([&] {
    const int64_t side = weight_DCpp.dim(2);
    const int64_t width = weight_DCpp.dim(0);
    const int64_t images = pixels_ICHW.dim(0);
    const int64_t channels = pixels_ICHW.dim(1);
    const int64_t num_rows = pixels_ICHW.dim(2) / side;
    const int64_t num_columns = pixels_ICHW.dim(3) / side;
    const at::Tensor patches =
        use(pixels_ICHW)
            .narrow(2, 0, num_rows * side)
            .narrow(3, 0, num_columns * side)
            .reshape({images, channels, num_rows, side, num_columns, side})
            .permute({0, 2, 4, 1, 3, 5})
            .reshape({images * num_rows * num_columns, channels * side * side});
    const at::Tensor weight = use(weight_DCpp).reshape({width, channels * side * side});
    at::Tensor bias;
    if (bias_D.is_defined()) bias = use(bias_D);
    return from_at(
        linear_rows(patches, weight, bias).view({images, num_rows * num_columns, width}));
  });
}

Tensor TorchBackend::add_scaled(const Tensor& x, const Tensor& y, float scale) {
  return run([&] {
    if (scale == 1.0f) return from_at(use(x) + use(y));
    return from_at(use(x) + use(y) * static_cast<double>(scale));
  });
}

Tensor TorchBackend::activation(const Tensor& x, Activation kind) {
  return run([&] { return from_at(activate(use(x), kind)); });
}

Tensor TorchBackend::silu_mul(const Tensor& gate, const Tensor& up) {
  return run([&] {
    if (records_on_cpu()) return from_at(recorded_silu_mul(use(gate), use(up)));
    return from_at(at::silu(use(gate)) * use(up));
  });
}

Tensor TorchBackend::rms_norm(const Tensor& x, const Tensor& weight, float epsilon) {
  return run([&] {
    const at::Tensor input = use(x);
    if (records_on_cpu()) return from_at(recorded_rms_norm(input, use(weight), epsilon));
    const at::Tensor wide = input.to(at::kFloat);
    const at::Tensor mean_square = (wide * wide).mean(-1, /*keepdim=*/true);
    const at::Tensor scaled = wide * (mean_square + static_cast<double>(epsilon)).rsqrt();
    return from_at(use(weight) * scaled.to(input.scalar_type()));
  });
}

Tensor TorchBackend::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                float epsilon) {
  return run([&] {
    return from_at(
        at::layer_norm(use(x), {x.dim(-1)}, use(weight), use(bias), static_cast<double>(epsilon)));
  });
}

Tensor TorchBackend::rope(const Tensor& x_THE, const Tensor& cos_TE, const Tensor& sin_TE) {
  return run([&] {
    const at::Tensor x = use(x_THE);
    if (records_on_cpu()) return from_at(recorded_rope(x, use(cos_TE), use(sin_TE)));
    const int64_t half = x.size(2) / 2;
    const at::Tensor rotated = at::cat({-x.narrow(2, half, half), x.narrow(2, 0, half)}, /*dim=*/2);
    return from_at(x * use(cos_TE).unsqueeze(1) + rotated * use(sin_TE).unsqueeze(1));
  });
}

}  // namespace llava
