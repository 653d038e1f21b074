// SPDX-License-Identifier: Apache-2.0
//
// What a contrastive stage trains: a CLIP tower, the two projections into the space where pictures
// and captions meet, temperature and bias.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/model/parameter.h"
#include "llava/model/vision_tower.h"
#include "llava/train/trained_parameter.h"

namespace llava::train {

// Shape letters: N pictures, M captions, D tower width, E width of the language model, P joint
// width.

/// The text side is the mean of a frozen language model's embeddings of a caption's tokens.
struct ContrastiveModel {
  model::VisionTower vision_model;
  model::Parameter visual_projection, text_projection, logit_scale, logit_bias;

  /// The joint space is as wide as the tower.
  ContrastiveModel(const model::VisionConfig& vision, int64_t text_width);

  void describe(model::Walker& v) {
    v("vision_model", vision_model);
    v("visual_projection.weight", visual_projection);
    v("text_projection.weight", text_projection);
    v("logit_scale", logit_scale);
    v("logit_bias", logit_bias);
  }
};

/// The parts of a model that are trained and kept beside the tower.
bool is_contrastive_head(std::string_view name);

/// Draws all values as the published classes initialise them; temperature and bias as the paper of
/// `loss` ("clip" or "siglip") says.
///
/// Source: transformers 4.37 `CLIPPreTrainedModel._init_weights`; arXiv:2103.00020, section 2.5;
/// arXiv:2303.15343, section 3.2.
void draw_initial_values(ContrastiveModel& model, const std::string& loss, uint64_t seed);

/// Replaces all values by leaves on `device` that record gradients, in `dtype`; temperature and
/// bias stay in float32 and do not decay. The bias trains with "siglip" only, as CLIP has none.
std::vector<TrainedParameter> make_trainable(ContrastiveModel& model, const std::string& loss,
                                             at::ScalarType dtype, Device device);

/// Unit vectors of pictures: the class token after the last norm, projected.
/// Shapes: host float32 pixels [N, C, S, S] -> float32 [N, P].
at::Tensor picture_vectors(Context& ctx, const ContrastiveModel& model, const Tensor& pixels_NCSS);

/// Unit vectors of captions, projected from their mean embeddings.
/// Shapes: float32 [M, E] -> float32 [M, P].
at::Tensor caption_vectors(const ContrastiveModel& model, const at::Tensor& means_ME);

/// How alike each picture and caption are: scale * cosine + bias, float32 [N, M].
at::Tensor similarity(const ContrastiveModel& model, const at::Tensor& pictures_NP,
                      const at::Tensor& captions_MP);

/// Keeps the scale at most 100, as published. Call after each step.
void limit_scale(std::vector<TrainedParameter>& parameters);

}  // namespace llava::train
