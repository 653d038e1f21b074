// SPDX-License-Identifier: Apache-2.0
//
// The vision tower: a CLIP vision transformer (arXiv:2103.00020) without its pooling head.
//
// Shape letters: I images or tiles, P patches, N = P + 1 tokens of one image (class token first),
// D width, H heads, E head width.
#pragma once

#include <span>
#include <vector>

#include "llava/model/config.h"
#include "llava/model/linear.h"
#include "llava/model/norm.h"
#include "llava/model/observer.h"

namespace llava::model {

/// Unmasked self-attention inside each image.
struct VisionAttention {
  int32_t num_heads, head_dim;
  Linear k_proj, v_proj, q_proj, out_proj;

  explicit VisionAttention(const VisionConfig& c);

  void describe(Walker& v) {
    v("k_proj", k_proj);
    v("v_proj", v_proj);
    v("q_proj", q_proj);
    v("out_proj", out_proj);
  }

  /// Shapes: x [I*N, D] -> the same; `images` are the sequences of N rows.
  Tensor forward(Context& ctx, const Tensor& x, std::span<const SequenceSlice> images) const;
};

/// Two linear layers with the tower's activation between them.
struct VisionFeedForward {
  Activation activation;
  Linear fc1, fc2;

  explicit VisionFeedForward(const VisionConfig& c)
      : activation(c.activation),
        fc1(c.hidden_size, c.intermediate_size, true),
        fc2(c.intermediate_size, c.hidden_size, true) {}

  void describe(Walker& v) {
    v("fc1", fc1);
    v("fc2", fc2);
  }

  Tensor forward(Context& ctx, const Tensor& x) const {
    return fc2.forward(ctx, ops::activation(ctx, fc1.forward(ctx, x), activation));
  }
};

/// One pre-norm block of the tower.
struct VisionLayer {
  VisionAttention self_attn;
  LayerNorm layer_norm1;
  VisionFeedForward mlp;
  LayerNorm layer_norm2;

  explicit VisionLayer(const VisionConfig& c)
      : self_attn(c),
        layer_norm1(c.hidden_size, c.layer_norm_eps),
        mlp(c),
        layer_norm2(c.hidden_size, c.layer_norm_eps) {}

  void describe(Walker& v) {
    v("self_attn", self_attn);
    v("layer_norm1", layer_norm1);
    v("mlp", mlp);
    v("layer_norm2", layer_norm2);
  }

  /// Shapes: x [I*N, D] -> the same.
  Tensor forward(Context& ctx, const Tensor& x, std::span<const SequenceSlice> images) const;
};

/// The whole tower.
struct VisionTower {
  VisionConfig config;
  Parameter class_embedding, patch_embedding, position_embedding;
  LayerNorm pre_layrnorm;  // the published name is misspelt
  std::vector<VisionLayer> layers;
  LayerNorm post_layernorm;  // in every published file, never used by LLaVA

  explicit VisionTower(const VisionConfig& c);

  void describe(Walker& v) {
    v("embeddings.class_embedding", class_embedding);
    v("embeddings.patch_embedding.weight", patch_embedding);
    v("embeddings.position_embedding.weight", position_embedding);
    v("pre_layrnorm", pre_layrnorm);
    v("encoder.layers", layers);
    v("post_layernorm", post_layernorm);
  }

  /// Hidden state 0: patches, class token, positions and the first norm.
  /// Shapes: pixels [I, C, S, S] -> [I*N, D].
  Tensor embed(Context& ctx, const Tensor& pixels_ICHW) const;

  /// Features for the projector: the chosen hidden states side by side.
  ///
  /// `feature_layers` follows the published rule: 0 is the embeddings, k the output of layer k,
  /// negative counts from the end. Without `keeps_class_token` the first row of each image is
  /// dropped. Layers after the last one needed are not run.
  /// Shapes: pixels [I, C, S, S] -> [I, P or N, D * feature_layers].
  /// Observed: "vision_hidden.i" as [I, N, D].
  /// Throws: Error(kInvalidArgument) for pixels of another size than the tower's or a layer out of
  /// range.   Threads: const, safe to share.
  Tensor forward(Context& ctx, const Tensor& pixels_ICHW, std::span<const int32_t> feature_layers,
                 bool keeps_class_token, const Observer& observer) const;

  /// Drops the class token's row of each image unless it is kept: [I*N, D] -> [I, P or N, D].
  Tensor select_rows(Context& ctx, const Tensor& hidden, bool keeps_class_token) const;

  /// One sequence of N rows per image.
  std::vector<SequenceSlice> image_slices(int64_t num_images) const;
};

/// Index into the list of hidden states (embeddings first) of a published layer number.
///
/// Throws: Error(kInvalidArgument) when it is out of range, naming both.
int32_t resolve_feature_layer(int32_t layer, int32_t num_layers);

}  // namespace llava::model
