// SPDX-License-Identifier: Apache-2.0
#include "llava/model/llava_model.h"

#include <numeric>

#include "llava/core/check.h"

namespace llava::model {

LlavaModel::LlavaModel(const LlavaConfig& c)
    : config(c),
      decoder(c.decoder),
      lm_head(c.decoder.hidden_size, c.decoder.vocab_size),
      image_newline(Shape{c.decoder.hidden_size}) {
  lm_head.weight.is_optional = c.decoder.is_head_tied;
  if (!c.has_vision) return;
  vision_tower.emplace(c.vision);
  projector.emplace(c.projector,
                    static_cast<int64_t>(c.vision.hidden_size) *
                        static_cast<int64_t>(c.vision_feature_layers.size()),
                    c.decoder.hidden_size);
}

Tensor LlavaModel::run_tower(Context& ctx, const Tensor& pixels_ICHW, bool keeps_class_token,
                             const Observer& observer) const {
  LLAVA_CHECK(vision_tower.has_value());
  const Tensor rounded = ops::cast(ctx, ops::from_host(ctx, pixels_ICHW), dtype());
  return vision_tower->forward(ctx, ops::cast(ctx, rounded, vision_dtype()),
                               config.vision_feature_layers, keeps_class_token, observer);
}

Tensor LlavaModel::tower_features(Context& ctx, const Tensor& pixels_ICHW) const {
  return run_tower(ctx, pixels_ICHW, /*keeps_class_token=*/true, {});
}

Tensor LlavaModel::selected_features(Context& ctx, const Tensor& pixels_ICHW) const {
  return run_tower(ctx, pixels_ICHW, config.geometry.has_class_token, {});
}

Tensor LlavaModel::encode_tiles(Context& ctx, const Tensor& pixels_ICHW,
                                const Observer& observer) const {
  return project(ctx, run_tower(ctx, pixels_ICHW, config.geometry.has_class_token, observer));
}

Tensor LlavaModel::project(Context& ctx, const Tensor& features) const {
  const Tensor projected =
      projector->forward(ctx, ops::cast(ctx, features, projector->dtype(dtype())));
  return ops::cast(ctx, projected, dtype());
}

Tensor LlavaModel::merge_tiles(Context& ctx, const Tensor& features_IRD,
                               std::span<const image::ImageLayout> layouts) const {
  const int64_t rows_per_tile = features_IRD.dim(1);
  const int64_t width = features_IRD.dim(2);
  const int64_t num_rows = features_IRD.dim(0) * rows_per_tile;
  Tensor pool = features_IRD.reshape({num_rows, width});
  if (config.has_image_newline) {
    pool =
        ops::concat_rows(ctx, std::vector<Tensor>{pool, image_newline.value.reshape({1, width})});
  }
  std::vector<int32_t> rows;
  int64_t first_tile = 0;
  for (const image::ImageLayout& layout : layouts) {
    LLAVA_CHECK(layout.tokens_per_tile == rows_per_tile, "{} rows a tile, planned {}",
                rows_per_tile, layout.tokens_per_tile);
    LLAVA_CHECK(static_cast<int32_t>(layout.source_rows.size()) == layout.num_tokens,
                "{} rows, planned {} tokens", layout.source_rows.size(), layout.num_tokens);
    for (const int32_t row : layout.source_rows) {
      rows.push_back(static_cast<int32_t>(
          row == image::kNewlineRow ? num_rows : first_tile * rows_per_tile + row));
    }
    first_tile += layout.num_tiles();
  }
  LLAVA_CHECK(first_tile == features_IRD.dim(0), "{} tiles, planned {}", features_IRD.dim(0),
              first_tile);
  return ops::gather_rows(ctx, pool, rows);
}

Tensor LlavaModel::embed(Context& ctx, std::span<const int32_t> ids, const Tensor& image_rows,
                         std::span<const FeatureRun> runs) const {
  Tensor x_TD = ops::embedding(ctx, decoder.embed_tokens.value, ids, dtype());
  if (runs.empty()) return x_TD;
  std::vector<int32_t> destination;
  for (const FeatureRun& run : runs) {
    for (int32_t i = 0; i < run.num_rows; ++i) destination.push_back(run.offset + i);
  }
  LLAVA_CHECK(image_rows.dim(0) == static_cast<int64_t>(destination.size()),
              "{} image rows for {} places", image_rows.dim(0), destination.size());
  return ops::scatter_rows(ctx, x_TD, image_rows, destination);
}

Tensor LlavaModel::decode(Context& ctx, const Tensor& x_TD, std::span<const int32_t> positions,
                          std::span<const SequenceSlice> sequences, KvCacheView* cache,
                          const Observer& observer, AttentionMaps* maps) const {
  DecoderPass pass = decoder.begin_pass(ctx, positions, sequences, x_TD.dtype());
  pass.maps = maps;
  return decoder.forward(ctx, x_TD, pass, cache, observer);
}

Tensor LlavaModel::logits(Context& ctx, const Tensor& hidden_TD) const {
  if (!lm_head.weight.value.is_defined()) {
    return ops::linear(ctx, hidden_TD, decoder.embed_tokens.value, Tensor());
  }
  return lm_head.forward(ctx, hidden_TD);
}

}  // namespace llava::model
