// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/model_runner.h"

#include <algorithm>
#include <cstring>
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
      if (i >= item.first_logits) flat.wanted.push_back(first + i);
    }
    flat.slices.push_back({.first_token = first,
                           .num_tokens = count,
                           .num_past = item.num_past,
                           .pages = item.pages});
  }
  return flat;
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
  const FlatStep flat = flatten(plan);
  std::vector<model::FeatureRun> runs;
  const Tensor rows = image_rows(plan, runs);
  const Tensor x_TD = model_.embed(ctx_, flat.ids, rows, runs);
  KvCacheView view = pages_.view();
  Tensor hidden_TD = model_.decode(ctx_, x_TD, flat.positions, flat.slices, &view);
  logits.vocab_size = model_.config.decoder.vocab_size;
  logits.values.clear();
  if (flat.wanted.empty()) return;
  if (flat.wanted.size() < flat.ids.size()) {
    hidden_TD = ops::gather_rows(ctx_, hidden_TD, flat.wanted);
  }
  const Tensor host = host_to_float32(ops::to_host(ctx_, model_.logits(ctx_, hidden_TD)));
  logits.values.assign(host.data<float>().begin(), host.data<float>().end());
}

}  // namespace llava::engine
