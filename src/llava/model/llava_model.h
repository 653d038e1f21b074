// SPDX-License-Identifier: Apache-2.0
//
// LlavaModel: vision tower, projector, decoder and head; the only definition of the network, for
// training and inference, on every backend.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "llava/image/layout.h"
#include "llava/model/decoder.h"
#include "llava/model/projector.h"
#include "llava/model/vision_tower.h"

namespace llava::model {

/// Where the rows of image features go in a flat batch: rows [offset, offset + num_rows).
struct FeatureRun {
  int32_t offset = 0;
  int32_t num_rows = 0;
};

/// The network. After loading it is const and shared by all sequences.
///
/// Shape letters: I images or tiles, R rows of features per tile, D model width, T tokens.
struct LlavaModel {
  LlavaConfig config;
  Decoder decoder;
  Linear lm_head;
  std::optional<VisionTower> vision_tower;
  std::optional<Projector> projector;
  Parameter image_newline;

  explicit LlavaModel(const LlavaConfig& c);

  void describe(Walker& v) {
    v("model", decoder);
    v("lm_head", lm_head);
    if (projector) v("model.mm_projector", *projector);
    if (config.has_image_newline) v("model.image_newline", image_newline);
    if (vision_tower) v("model.vision_tower.vision_tower.vision_model", *vision_tower);
  }

  /// The dtype the decoder and projector compute in: that of the norms, which are never stored in
  /// another, while matrices may be packed.
  DType dtype() const { return decoder.norm.weight.value.dtype(); }
  /// The dtype the vision tower computes in.
  DType vision_dtype() const { return vision_tower->patch_embedding.value.dtype(); }

  /// Tower, feature selection and projector.
  ///
  /// Pixels are rounded to the decoder's dtype first, as published, then converted to the tower's.
  /// Shapes: host float32 pixels [I, C, S, S] -> [I, R, D].   Observed: "vision_hidden.i".
  Tensor encode_tiles(Context& ctx, const Tensor& pixels_ICHW, const Observer& observer = {}) const;

  /// What the tower makes of pixels: the class token's row and those of the patches.
  /// Shapes: host float32 pixels [I, C, S, S] -> [I, N, vision width].
  Tensor tower_features(Context& ctx, const Tensor& pixels_ICHW) const;

  /// The features that the projector reads.
  /// Shapes: host float32 pixels [I, C, S, S] -> [I, R, vision width].
  Tensor selected_features(Context& ctx, const Tensor& pixels_ICHW) const;

  /// Projects features that the tower has selected: [I, R, vision width] -> [I, R, D].
  Tensor project(Context& ctx, const Tensor& features) const;

  /// Arranges projected tiles of all pictures into the rows that enter the decoder.
  ///
  /// Shapes: features [I, R, D] -> [sum of num_tokens, D].
  /// Throws: Error(kInternal) naming both counts when the tiles are not those of the layouts.
  Tensor merge_tiles(Context& ctx, const Tensor& features_IRD,
                     std::span<const image::ImageLayout> layouts) const;

  /// Embeds ids and writes the image rows, in order, over the runs.
  ///
  /// Shapes: ids [T], image_rows [sum of num_rows, D] or undefined -> [T, D].
  Tensor embed(Context& ctx, std::span<const int32_t> ids, const Tensor& image_rows,
               std::span<const FeatureRun> runs) const;

  /// Runs the decoder over a flat batch of embeddings.
  ///
  /// Shapes: x_TD -> hidden states after the final norm [T, D].   Observed: "hidden.i".
  /// `maps`, which needs a cache, collects where queries looked.
  Tensor decode(Context& ctx, const Tensor& x_TD, std::span<const int32_t> positions,
                std::span<const SequenceSlice> sequences, KvCacheView* cache,
                const Observer& observer = {}, AttentionMaps* maps = nullptr) const;

  /// Head: [T, D] -> [T, V].
  Tensor logits(Context& ctx, const Tensor& hidden_TD) const;

 private:
  Tensor run_tower(Context& ctx, const Tensor& pixels_ICHW, bool keeps_class_token,
                   const Observer& observer) const;
};

}  // namespace llava::model
