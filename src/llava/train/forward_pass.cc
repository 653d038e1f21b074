// SPDX-License-Identifier: Apache-2.0
#include "llava/train/forward_pass.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/core/check.h"
#include "llava/train/recompute.h"
#include "llava/train/token_loss.h"

namespace llava::train {
namespace {

// The tiles of pictures, host float32 [I, C, S, S].
Tensor pixels_of(std::span<const data::PreparedPicture* const> pictures) {
  const image::PixelValues& first = pictures.front()->pixels;
  int64_t num_tiles = 0;
  for (const data::PreparedPicture* picture : pictures) num_tiles += picture->pixels.num_tiles;
  Tensor pixels =
      Tensor::empty({num_tiles, first.channels, first.height, first.width}, DType::kFloat32);
  auto target = pixels.mutable_data<float>().begin();
  for (const data::PreparedPicture* picture : pictures) {
    target = std::ranges::copy(picture->pixels.values, target).out;
  }
  return pixels;
}

// Features of all pictures, each by itself, so that they do not depend on what else is in a batch:
// what is in the cache was computed in another one.
Tensor cached_features(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                       FeatureCache& cache) {
  std::vector<Tensor> parts;
  for (const data::PreparedPicture* picture : batch.pictures) {
    if (cache.has(picture->content)) {
      parts.push_back(ops::from_host(ctx, cache.load(picture->content)));
    } else {
      parts.push_back(model.selected_features(ctx, pixels_of({&picture, 1})));
      cache.store(picture->content, ops::to_host(ctx, parts.back()));
    }
  }
  return ops::concat_rows(ctx, parts);
}

// Rows of picture features in the order in which they enter the decoder, [R, D].
Tensor picture_rows(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                    const PassOptions& options) {
  Tensor features;
  {
    std::optional<at::NoGradGuard> frozen;
    if (!options.trains_vision_tower) frozen.emplace();
    features = options.features != nullptr
                   ? cached_features(ctx, model, batch, *options.features)
                   : model.selected_features(ctx, pixels_of(batch.pictures));
  }
  std::vector<image::ImageLayout> layouts;
  for (const data::PreparedPicture* picture : batch.pictures) layouts.push_back(picture->layout);
  Tensor rows = model.merge_tiles(ctx, model.project(ctx, features), layouts);
  if (!batch.uses_all_feature_rows) rows = ops::gather_rows(ctx, rows, batch.feature_rows);
  return rows;
}

std::vector<model::FeatureRun> runs_of(const data::FlatBatch& batch) {
  std::vector<model::FeatureRun> runs;
  for (const auto& run : batch.runs) {
    runs.push_back({.offset = run.offset, .num_rows = run.num_tokens});
  }
  return runs;
}

std::vector<SequenceSlice> sequences_of(const data::FlatBatch& batch) {
  std::vector<SequenceSlice> sequences;
  int32_t first = 0;
  for (const data::BatchPart& part : batch.parts) {
    std::vector<int32_t> past(static_cast<std::size_t>(part.num_past));
    std::iota(past.begin(), past.end(), part.past_row);
    sequences.push_back({.first_token = first,
                         .num_tokens = part.num_rows,
                         .num_past = part.num_past,
                         .pages = std::move(past)});
    first += part.num_rows;
  }
  return sequences;
}

// What the layers need when they run again, after the forward pass has returned.
struct RecordedPass {
  std::vector<SequenceSlice> sequences;
  model::DecoderPass pass;
};

at::Tensor head_weight(const model::LlavaModel& model) {
  const Tensor& head = model.lm_head.weight.value;
  return to_at(head.is_defined() ? head : model.decoder.embed_tokens.value);
}

}  // namespace

PassOptions pass_options(const TrainConfig& config, const Trainables& trainables,
                         FeatureCache* features) {
  return {.recomputes_layers = config.optimization.gradient_checkpointing,
          .trains_vision_tower = config.optimization.tune_vision_tower ||
                                 std::ranges::any_of(trainables.parameters,
                                                     [](const TrainedParameter& p) {
                                                       return p.part == Part::kVisionTower;
                                                     }),
          .features = features};
}

Tensor embed_batch(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                   const PassOptions& options) {
  Tensor rows;
  if (!batch.pictures.empty()) rows = picture_rows(ctx, model, batch, options);
  return model.embed(ctx, batch.ids, rows, runs_of(batch));
}

at::Tensor summed_loss(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                       const PassOptions& options) {
  if (batch.targets.empty()) return {};
  return summed_loss(ctx, model, batch, embed_batch(ctx, model, batch, options), options);
}

at::Tensor summed_loss(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                       Tensor x_TD, const PassOptions& options) {
  if (batch.targets.empty()) return {};
  const auto recorded = std::make_shared<RecordedPass>();
  recorded->sequences = sequences_of(batch);
  model::DecoderPass& pass = recorded->pass;
  pass = model.decoder.begin_pass(ctx, batch.positions, recorded->sequences, x_TD.dtype());
  if (options.recomputes_layers && at::GradMode::is_enabled()) {
    // Layers are recorded through their input alone, which a frozen embedding does not record.
    if (!to_at(x_TD).requires_grad()) x_TD = from_at(to_at(x_TD).detach().requires_grad_(true));
    pass.around_layer = [owner = std::weak_ptr(recorded)](const model::RunLayer& run,
                                                          const Tensor& input_TD) {
      return from_at(recompute_in_backward(
          [run, recorded = owner.lock()](const at::Tensor& x) { return to_at(run(from_at(x))); },
          to_at(input_TD)));
    };
  }
  const Tensor hidden_TD = model.decoder.forward(ctx, x_TD, pass, nullptr, {});
  const Tensor predicting = ops::gather_rows(ctx, hidden_TD, batch.predicting_rows);
  return summed_cross_entropy(to_at(predicting), head_weight(model), batch.targets);
}

}  // namespace llava::train
