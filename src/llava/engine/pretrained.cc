// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/pretrained.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "llava/engine/checkpoint_images.h"
#include "llava/engine/checkpoint_text.h"
#include "llava/engine/checkpoint_weights.h"
#include "llava/engine/memory.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::Layout;

// "q4_min, float32", the one with most bytes first.
std::string dtypes_text(const checkpoint::WeightBytes& bytes) {
  std::vector<std::pair<int64_t, DType>> sorted;
  for (const auto& [dtype, size] : bytes.by_dtype) sorted.emplace_back(size, dtype);
  std::sort(sorted.rbegin(), sorted.rend());
  std::string text;
  for (const auto& [size, dtype] : sorted) {
    text += (text.empty() ? "" : ", ") + std::string(dtype_name(dtype));
  }
  return text;
}

std::unique_ptr<model::LlavaModel> load_weights(Context& ctx, const LoadRequest& request,
                                                const CheckpointPlace& place,
                                                const CheckpointWeights& weights,
                                                const ProgressCallback& on_progress) {
  const model::LlavaConfig& config = place.description.config;
  model::validate(config);
  checkpoint::LoadModelOptions options = load_options(request, weights);
  const auto bytes = checkpoint::weight_bytes(config, weights.model, options);
  require_memory(bytes.total(), fmt::format("model '{}' in {}", place.name, dtypes_text(bytes)));
  options.on_progress = on_progress;
  return checkpoint::load_model(ctx, config, weights.model, options);
}

}  // namespace

std::vector<int32_t> Pretrained::end_ids() const {
  if (!generation.eos_token_ids.empty()) return generation.eos_token_ids;
  if (!description.eos_token_ids.empty()) return description.eos_token_ids;
  if (const auto eos = tokenizer->eos_id()) return {*eos};
  return {};
}

int32_t Pretrained::num_allowed_ids() const {
  const int32_t rows = model->config.decoder.vocab_size;
  return is_hugging_face() ? rows : std::min(rows, tokenizer->size());
}

Pretrained load_pretrained(Context& ctx, const LoadRequest& request,
                           const ProgressCallback& on_progress) {
  CheckpointPlace place =
      locate_checkpoint(request.model_path, request.model_base, request.model_name);
  Pretrained result;
  CheckpointText text = read_checkpoint_text(place);
  result.tokenizer = std::move(text.tokenizer);
  result.chat_template = std::move(text.chat_template);
  result.conv_mode = std::move(text.conv_mode);
  fs::path tower_folder;
  if (place.description.config.has_vision) {
    if (place.description.layout != Layout::kHuggingFace) {
      tower_folder = locate_vision_tower(place, request.vision_tower);
    }
    CheckpointImages images = read_checkpoint_images(
        place, tower_folder,
        {.preprocess = request.preprocess, .image_aspect_ratio = request.image_aspect_ratio});
    result.processor = std::move(images.processor);
    result.geometry = std::move(images.geometry);
  }
  result.generation = read_decoding_defaults(place);
  const CheckpointWeights weights =
      open_checkpoint_weights(place, request, tower_folder, result.tokenizer->size(), ctx.pool);
  result.model = load_weights(ctx, request, place, weights, on_progress);
  result.name = place.name;
  result.path = place.path;
  result.description = std::move(place.description);
  return result;
}

}  // namespace llava::engine
