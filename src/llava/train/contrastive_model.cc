// SPDX-License-Identifier: Apache-2.0
#include "llava/train/contrastive_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/tensor/ops.h"
#include "llava/train/initial_values.h"

namespace llava::train {
namespace {

constexpr double kLargestScale = 100.0;
constexpr double kTableDeviation = 0.02;  // CLIPConfig.initializer_range

// Deviations by the widths of the published classes.
double deviation_of(std::string_view name, const ContrastiveModel& model) {
  const double width = model.vision_model.config.hidden_size;
  const double layers = model.vision_model.config.num_hidden_layers;
  const double in = 1.0 / std::sqrt(width * 2.0 * layers);
  if (name == "text_projection.weight") {
    return 1.0 / std::sqrt(static_cast<double>(model.text_projection.shape[1]));
  }
  if (name == "visual_projection.weight" || name.ends_with("class_embedding") ||
      name.ends_with("out_proj.weight")) {
    return 1.0 / std::sqrt(width);
  }
  if (name.ends_with("fc1.weight")) return 1.0 / std::sqrt(2.0 * width);
  if (name.ends_with("_embedding.weight")) return kTableDeviation;
  return in;  // q_proj, k_proj, v_proj, fc2
}

at::Tensor unit(const at::Tensor& x) {
  const at::Tensor wide = x.to(at::kFloat);
  return wide /
         at::linalg_vector_norm(wide, 2, at::IntArrayRef{-1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace

ContrastiveModel::ContrastiveModel(const model::VisionConfig& vision, int64_t text_width)
    : vision_model(vision),
      visual_projection(Shape{vision.hidden_size, vision.hidden_size}),
      text_projection(Shape{vision.hidden_size, text_width}),
      logit_scale(Shape{1}),
      logit_bias(Shape{1}) {}

bool is_contrastive_head(std::string_view name) { return !name.starts_with("vision_model."); }

void draw_initial_values(ContrastiveModel& model, const std::string& loss, uint64_t seed) {
  InitialValues random(seed, InitialStream::kContrastive);
  const bool is_clip = loss == "clip";
  model::visit(model, {.on_parameter =
                           [&](const std::string& name, model::Parameter& parameter) {
                             parameter.value = Tensor::empty(parameter.shape, DType::kFloat32);
                             const std::span<float> values = parameter.value.mutable_data<float>();
                             if (name == "logit_scale") {
                               values[0] =
                                   static_cast<float>(std::log(is_clip ? 1.0 / 0.07 : 10.0));
                             } else if (name == "logit_bias") {
                               values[0] = is_clip ? 0.0f : -10.0f;
                             } else if (name.ends_with(".bias")) {
                               std::ranges::fill(values, 0.0f);
                             } else if (name.find("norm") != std::string::npos) {
                               std::ranges::fill(values, 1.0f);
                             } else {
                               random.fill_normal(values, deviation_of(name, model));
                             }
                           },
                       .on_linear = {}});
}

std::vector<TrainedParameter> make_trainable(ContrastiveModel& model, const std::string& loss,
                                             at::ScalarType dtype, Device device) {
  std::vector<TrainedParameter> parameters;
  model::visit(model, {.on_parameter =
                           [&](const std::string& name, model::Parameter& parameter) {
                             const bool is_scalar = name.starts_with("logit_");
                             if (name == "logit_bias" && loss == "clip") return;
                             TrainedParameter trained = make_parameter(
                                 name, to_at(parameter.value).to(torch_device(device)),
                                 is_scalar ? at::kFloat : dtype);
                             trained.part = Part::kVisionTower;
                             if (is_scalar) trained.decays = false;
                             parameter.value = from_at(trained.value);
                             parameters.push_back(std::move(trained));
                           },
                       .on_linear = {}});
  return parameters;
}

at::Tensor picture_vectors(Context& ctx, const ContrastiveModel& model, const Tensor& pixels_NCSS) {
  const model::VisionTower& tower = model.vision_model;
  const DType dtype = tower.patch_embedding.value.dtype();
  const Tensor pixels = ops::cast(ctx, ops::from_host(ctx, pixels_NCSS), dtype);
  const std::array<int32_t, 1> last{-1};
  const Tensor hidden = tower.forward(ctx, pixels, last, /*keeps_class_token=*/true, {});
  const at::Tensor class_ND = to_at(hidden).select(1, 0).contiguous();
  const Tensor normed = tower.post_layernorm.forward(ctx, from_at(class_ND));
  return unit(at::matmul(to_at(normed), to_at(model.visual_projection.value).t()));
}

at::Tensor caption_vectors(const ContrastiveModel& model, const at::Tensor& means_ME) {
  const at::Tensor weight = to_at(model.text_projection.value);
  return unit(at::matmul(means_ME.to(weight.scalar_type()), weight.t()));
}

at::Tensor similarity(const ContrastiveModel& model, const at::Tensor& pictures_NP,
                      const at::Tensor& captions_MP) {
  return at::matmul(pictures_NP, captions_MP.t()) * to_at(model.logit_scale.value).exp() +
         to_at(model.logit_bias.value);
}

void limit_scale(std::vector<TrainedParameter>& parameters) {
  const at::NoGradGuard no_grad;
  for (TrainedParameter& parameter : parameters) {
    if (parameter.name == "logit_scale") parameter.master.clamp_max_(std::log(kLargestScale));
  }
}

}  // namespace llava::train
