// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/model_runner.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "llava/core/check.h"
#include "llava/text/multimodal_sequence.h"

namespace llava::engine {
namespace {

// A step as the model takes it: the items' symbols one after the other.
struct FlatStep {
  std::vector<int32_t> ids;
  std::vector<int32_t> positions;
  std::vector<SequenceSlice> slices;
  std::vector<int32_t> wanted;  ///< rows whose logits are wanted
  std::vector<model::AttentionMapRequest> looks;
};

FlatStep flatten(const StepPlan& plan) {
  FlatStep flat;
  for (const StepItem& item : plan.items) {
    const auto first = static_cast<int32_t>(flat.ids.size());
    const auto count = static_cast<int32_t>(item.symbols.size());
    for (int32_t i = 0; i < count; ++i) {
      const Symbol& symbol = item.symbols[static_cast<std::size_t>(i)];
      flat.ids.push_back(symbol.image == 0 ? symbol.value : text::kPlaceholderId);
      flat.positions.push_back(item.num_past + i);
      if (i >= item.first_logits && !item.look) flat.wanted.push_back(first + i);
    }
    if (item.look && item.num_logits() > 0) {
      flat.looks.push_back({.sequence = static_cast<int32_t>(flat.slices.size()),
                            .first_row = item.first_logits,
                            .layer = item.look->layer,
                            .ranges = item.look->ranges});
    }
    flat.slices.push_back({.first_token = first,
                           .num_tokens = count,
                           .num_past = item.num_past,
                           .pages = item.pages});
  }
  return flat;
}

/// The mean of rows [first, end) of a matrix.
std::vector<float> mean_of_rows(Context& ctx, const Tensor& rows_TD, int64_t first, int64_t end) {
  const Tensor host = host_to_float32(ops::to_host(ctx, rows_TD.rows(first, end)));
  const auto width = static_cast<std::size_t>(host.dim(1));
  std::vector<double> sums(width, 0.0);
  const auto values = host.data<float>();
  for (std::size_t i = 0; i < values.size(); ++i) sums[i % width] += values[i];
  std::vector<float> mean(width);
  for (std::size_t i = 0; i < width; ++i) {
    mean[i] = static_cast<float>(sums[i] / static_cast<double>(end - first));
  }
  return mean;
}

}  // namespace

ModelRunner::ModelRunner(const Context& ctx, const model::LlavaModel& model, DType kv_dtype,
                         int32_t num_pages, int32_t page_size)
    : ctx_(ctx),
      model_(model),
      pages_(ctx_, model.config.decoder, kv_dtype, num_pages, page_size) {}

void ModelRunner::encode(uint64_t image, const PreparedImage& picture) {
  put_features(image, model_.merge_tiles(ctx_, model_.encode_tiles(ctx_, picture.pixels_ICHW),
                                         {&picture.layout, 1}));
}

std::vector<float> ModelRunner::embed_picture(const PreparedImage& picture,
                                              PicturePooling pooling) {
  const Tensor first_tile = picture.pixels_ICHW.rows(0, 1);
  const bool is_projected = pooling == PicturePooling::kProjected;
  const Tensor rows_IRD = is_projected ? model_.encode_tiles(ctx_, first_tile)
                                       : model_.tower_features(ctx_, first_tile);
  const int64_t num_rows = rows_IRD.dim(1);
  const Tensor rows = rows_IRD.reshape({num_rows, rows_IRD.dim(2)});
  switch (pooling) {
    case PicturePooling::kClassToken:
      return mean_of_rows(ctx_, rows, 0, 1);
    case PicturePooling::kMean:
      return mean_of_rows(ctx_, rows, 1, num_rows);
    case PicturePooling::kProjected:
      break;
  }
  return mean_of_rows(ctx_, rows, 0, num_rows);
}

std::vector<float> ModelRunner::embed_text(std::span<const int32_t> ids) {
  std::vector<int32_t> positions(ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  const SequenceSlice slice{
      .first_token = 0, .num_tokens = static_cast<int32_t>(ids.size()), .num_past = 0, .pages = {}};
  const Tensor x_TD = model_.embed(ctx_, ids, {}, {});
  const Tensor hidden_TD = model_.decode(ctx_, x_TD, positions, {&slice, 1}, nullptr);
  return mean_of_rows(ctx_, hidden_TD, 0, hidden_TD.dim(0));
}

void ModelRunner::put_features(uint64_t image, Tensor rows_TD) {
  features_.insert_or_assign(image, std::move(rows_TD));
}

std::vector<std::byte> ModelRunner::read_features(uint64_t image) {
  const Tensor host = ops::to_host(ctx_, features_.at(image));
  const auto bytes = host.bytes();
  return {bytes.begin(), bytes.end()};
}

bool ModelRunner::put_features(uint64_t image, const PreparedImage& picture,
                               std::span<const std::byte> bytes) {
  const Shape shape{picture.layout.num_tokens, model_.config.decoder.hidden_size};
  if (static_cast<int64_t>(bytes.size()) != tensor_bytes(shape, model_.dtype())) return false;
  Tensor rows_TD = Tensor::empty(shape, model_.dtype());
  std::memcpy(rows_TD.mutable_bytes().data(), bytes.data(), bytes.size());
  put_features(image, ops::from_host(ctx_, rows_TD));
  return true;
}

Tensor ModelRunner::image_rows(const StepPlan& plan, std::vector<model::FeatureRun>& runs) {
  std::vector<Tensor> parts;
  int32_t row = 0;
  for (const StepItem& item : plan.items) {
    const auto& symbols = item.symbols;
    for (std::size_t i = 0; i < symbols.size();) {
      // A run of positions that show consecutive rows of one picture.
      std::size_t end = i + 1;
      const Symbol& first = symbols[i];
      while (end < symbols.size() && first.image != 0 && symbols[end].image == first.image &&
             symbols[end].value == symbols[end - 1].value + 1) {
        ++end;
      }
      if (first.image != 0) {
        const auto features = features_.find(first.image);
        LLAVA_CHECK(features != features_.end(), "picture {} is not encoded", first.image);
        const auto count = static_cast<int32_t>(end - i);
        parts.push_back(features->second.rows(first.value, first.value + count));
        runs.push_back({.offset = row + static_cast<int32_t>(i), .num_rows = count});
      }
      i = end;
    }
    row += static_cast<int32_t>(symbols.size());
  }
  if (parts.empty()) return {};
  return parts.size() == 1 ? parts.front() : ops::concat_rows(ctx_, parts);
}

void ModelRunner::run(const StepPlan& plan, StepLogits& logits) {
  for (const PageCopy& copy : plan.copies) {
    pages_.copy(ctx_, copy.from, copy.to, copy.num_tokens);
  }
  FlatStep flat = flatten(plan);
  std::vector<model::FeatureRun> runs;
  const Tensor rows = image_rows(plan, runs);
  const Tensor x_TD = model_.embed(ctx_, flat.ids, rows, runs);
  KvCacheView view = pages_.view();
  const std::size_t num_looks = flat.looks.size();
  model::AttentionMaps maps(std::move(flat.looks));
  Tensor hidden_TD = model_.decode(ctx_, x_TD, flat.positions, flat.slices, &view, {},
                                   num_looks > 0 ? &maps : nullptr);
  logits.maps.clear();
  for (std::size_t i = 0; i < num_looks; ++i) {
    const std::vector<float> map = maps.map(i);
    logits.maps.insert(logits.maps.end(), map.begin(), map.end());
  }
  logits.vocab_size = model_.config.decoder.vocab_size;
  logits.values.clear();
  if (flat.wanted.empty()) return;
  if (flat.wanted.size() < flat.ids.size()) {
    hidden_TD = ops::gather_rows(ctx_, hidden_TD, flat.wanted);
  }
  const Tensor host = host_to_float32(ops::to_host(ctx_, model_.logits(ctx_, hidden_TD)));
  logits.vocab_size = static_cast<int32_t>(host.dim(1));  // a rank's part of it
  logits.values.assign(host.data<float>().begin(), host.data<float>().end());
}

}  // namespace llava::engine
