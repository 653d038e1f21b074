// SPDX-License-Identifier: Apache-2.0
#include "llava/model/vision_tower.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "llava/core/error.h"

namespace llava::model {

VisionAttention::VisionAttention(const VisionConfig& c)
    : num_heads(c.num_attention_heads),
      head_dim(c.hidden_size / c.num_attention_heads),
      k_proj(c.hidden_size, c.hidden_size, true),
      v_proj(c.hidden_size, c.hidden_size, true),
      q_proj(c.hidden_size, c.hidden_size, true),
      out_proj(c.hidden_size, c.hidden_size, true) {}

Tensor VisionAttention::forward(Context& ctx, const Tensor& x,
                                std::span<const SequenceSlice> images) const {
  const Shape heads{x.dim(0), num_heads, head_dim};
  const AttentionSpec spec{.scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
                           .is_causal = false};
  const Tensor mixed = ops::attention(ctx, q_proj.forward(ctx, x).reshape(heads),
                                      k_proj.forward(ctx, x).reshape(heads),
                                      v_proj.forward(ctx, x).reshape(heads), images, spec);
  return out_proj.forward(ctx, mixed.reshape(x.shape()));
}

Tensor VisionLayer::forward(Context& ctx, const Tensor& x,
                            std::span<const SequenceSlice> images) const {
  const Tensor attended =
      ops::add(ctx, x, self_attn.forward(ctx, layer_norm1.forward(ctx, x), images));
  return ops::add(ctx, attended, mlp.forward(ctx, layer_norm2.forward(ctx, attended)));
}

VisionTower::VisionTower(const VisionConfig& c)
    : config(c),
      class_embedding(Shape{c.hidden_size}),
      patch_embedding(Shape{c.hidden_size, c.num_channels, c.patch_size, c.patch_size}),
      position_embedding(Shape{c.num_patches() + 1, c.hidden_size}),
      pre_layrnorm(c.hidden_size, c.layer_norm_eps),
      post_layernorm(c.hidden_size, c.layer_norm_eps, /*optional=*/true) {
  layers.reserve(static_cast<std::size_t>(c.num_hidden_layers));
  for (int32_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(c);
}

std::vector<SequenceSlice> VisionTower::image_slices(int64_t num_images) const {
  const int32_t rows = config.num_patches() + 1;
  std::vector<SequenceSlice> slices(static_cast<std::size_t>(num_images));
  for (std::size_t i = 0; i < slices.size(); ++i) {
    slices[i].first_token = static_cast<int32_t>(i) * rows;
    slices[i].num_tokens = rows;
  }
  return slices;
}

Tensor VisionTower::embed(Context& ctx, const Tensor& pixels_ICHW) const {
  if (pixels_ICHW.dim(2) != config.image_size || pixels_ICHW.dim(3) != config.image_size) {
    fail(ErrorCode::kInvalidArgument,
         "pictures of {}x{} pixels for a vision tower of {}x{}: use the preprocessor "
         "configuration that belongs to the tower",
         pixels_ICHW.dim(3), pixels_ICHW.dim(2), config.image_size, config.image_size);
  }
  const int64_t num_images = pixels_ICHW.dim(0);
  const int32_t num_patches = config.num_patches();
  const int64_t width = config.hidden_size;
  const Tensor patches = ops::patch_embed(ctx, pixels_ICHW, patch_embedding.value, Tensor())
                             .reshape({num_images * num_patches, width});
  // The class token is row 0 of the pool, so that one gather puts it before each image's patches.
  const Tensor pool = ops::concat_rows(
      ctx, std::vector<Tensor>{class_embedding.value.reshape({1, width}), patches});
  std::vector<int32_t> token_rows, position_rows;
  for (int32_t image = 0; image < num_images; ++image) {
    token_rows.push_back(0);
    for (int32_t i = 0; i < num_patches; ++i) token_rows.push_back(1 + image * num_patches + i);
    for (int32_t i = 0; i <= num_patches; ++i) position_rows.push_back(i);
  }
  const Tensor tokens = ops::gather_rows(ctx, pool, token_rows);
  const Tensor positions = ops::gather_rows(ctx, position_embedding.value, position_rows);
  return pre_layrnorm.forward(ctx, ops::add(ctx, tokens, positions));
}

Tensor VisionTower::select_rows(Context& ctx, const Tensor& hidden, bool keeps_class_token) const {
  const int32_t rows = config.num_patches() + 1;
  const int64_t num_images = hidden.dim(0) / rows;
  if (keeps_class_token) return hidden.reshape({num_images, rows, hidden.dim(1)});
  std::vector<int32_t> kept;
  for (int32_t row = 0; row < hidden.dim(0); ++row) {
    if (row % rows != 0) kept.push_back(row);
  }
  return ops::gather_rows(ctx, hidden, kept).reshape({num_images, rows - 1, hidden.dim(1)});
}

Tensor VisionTower::forward(Context& ctx, const Tensor& pixels_ICHW,
                            std::span<const int32_t> feature_layers, bool keeps_class_token,
                            const Observer& observer) const {
  std::vector<int32_t> wanted;
  for (const int32_t layer : feature_layers) {
    wanted.push_back(resolve_feature_layer(layer, config.num_hidden_layers));
  }
  const int32_t last = *std::max_element(wanted.begin(), wanted.end());
  const std::vector<SequenceSlice> images = image_slices(pixels_ICHW.dim(0));
  std::vector<Tensor> selected(wanted.size());
  Tensor hidden = embed(ctx, pixels_ICHW);
  for (int32_t i = 0;; ++i) {
    if (observer) {
      observer("vision_hidden." + std::to_string(i),
               hidden.reshape({pixels_ICHW.dim(0), config.num_patches() + 1, hidden.dim(1)}));
    }
    for (std::size_t k = 0; k < wanted.size(); ++k) {
      if (wanted[k] == i) selected[k] = select_rows(ctx, hidden, keeps_class_token);
    }
    // A bundle may hold the states after the last one the projector reads.
    if (i == config.num_hidden_layers || (i >= last && !observer)) break;
    hidden = layers[static_cast<std::size_t>(i)].forward(ctx, hidden, images);
  }
  return ops::concat_columns(ctx, selected);
}

int32_t resolve_feature_layer(int32_t layer, int32_t num_layers) {
  const int32_t index = layer < 0 ? num_layers + 1 + layer : layer;
  if (index < 0 || index > num_layers) {
    fail(ErrorCode::kInvalidArgument,
         "vision feature layer {} is out of range for a tower of {} layers, expected {} to {}",
         layer, num_layers, -num_layers - 1, num_layers);
  }
  return index;
}

}  // namespace llava::model
