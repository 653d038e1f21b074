// SPDX-License-Identifier: Apache-2.0
//
// The sums follow the tensors that are alive together in Decoder::forward, VisionTower::forward and
// ModelRunner; a change there is a change here (scratch_memory_test.cc compares with what a step
// takes).
#include "llava/engine/scratch_memory.h"

#include <algorithm>

namespace llava::engine {
namespace {

constexpr int64_t kFloat = 4;
// Buffers are rounded up by an eighth at most, and as many again may lie idle from a step of
// another length, up to this limit (backend/native/result_pool.h).
constexpr int64_t kMostIdle = int64_t{256} << 20;

int64_t with_pool(int64_t live_bytes) {
  const int64_t rounded = live_bytes + live_bytes / 8;
  return rounded + std::min(rounded, kMostIdle);
}

// A packed matrix takes each row as 8-bit codes with a float32 scale and a sum for every 32 inputs;
// rows that are not float32 are widened for it, and its results are float32 before they are
// rounded.
int64_t packed_linear_bytes(const model::Linear& linear, int64_t num_rows, DType dtype) {
  const Tensor& weight = linear.weight.value;
  if (!weight.is_defined() || !is_packed(weight.dtype())) return 0;
  const int64_t inputs = weight.dim(1);
  const int64_t outputs = weight.dim(0);
  const int64_t widened = dtype == DType::kFloat32 ? 0 : kFloat * (inputs + outputs);
  return num_rows * (inputs + inputs / 32 * 2 * kFloat + widened);
}

}  // namespace

StepSize largest_step(const EngineConfig& config, int64_t capacity_tokens, int64_t request_tokens) {
  const SchedulerConfig& scheduler = config.scheduler;
  const int64_t num_sequences = std::clamp<int64_t>(
      capacity_tokens / std::max<int64_t>(1, request_tokens), 1, scheduler.max_running_requests);
  const int64_t num_newest = num_sequences * (1 + config.max_draft_tokens);
  const int64_t num_tokens = std::min({int64_t{scheduler.max_batched_tokens}, capacity_tokens,
                                       int64_t{scheduler.chunked_prefill_size} + num_newest});
  return {.num_tokens = num_tokens, .num_logits = std::min(num_tokens, num_newest)};
}

int64_t step_scratch_bytes(const model::LlavaModel& model, const StepSize& step) {
  const model::DecoderConfig& c = model.config.decoder;
  const DType dtype = model.dtype();
  const int64_t item = item_size(dtype);
  const int64_t D = c.hidden_size;
  const int64_t F = c.intermediate_size;
  const int64_t queries = int64_t{c.num_attention_heads} * c.head_dim;
  const int64_t keys = int64_t{c.num_key_value_heads} * c.head_dim;
  // Embeddings, input, attended and normed rows of a layer; beside them gate, up and their product,
  // or queries, keys, values, what they mix to and its projection.
  int64_t layer_width = 4 * D + std::max(3 * F, 2 * queries + 2 * keys);
  int64_t packed = 0;
  if (!model.decoder.layers.empty()) {
    const auto& mlp = model.decoder.layers.front().mlp;
    // An adapter's product, and its sum with that of the base.
    if (!mlp.gate_proj.adapters.empty()) layer_width += 2 * F;
    packed = std::max(packed_linear_bytes(mlp.down_proj, step.num_tokens, dtype),
                      packed_linear_bytes(mlp.gate_proj, step.num_tokens, dtype));
  }
  const int64_t layer = step.num_tokens * layer_width * item + packed;
  // The head's results, in float32 if they are not, and the copy that the engine keeps.
  const int64_t widened = dtype == DType::kFloat32 ? 0 : kFloat;
  const int64_t V = c.vocab_size;
  const int64_t head = step.num_tokens * 2 * D * item +
                       step.num_logits * (D * item + V * (item + widened)) +
                       packed_linear_bytes(model.lm_head, step.num_logits, dtype);
  return with_pool(std::max(layer, head)) + step.num_logits * V * kFloat;
}

int64_t encode_scratch_bytes(const model::LlavaModel& model, int64_t num_tiles) {
  if (!model.vision_tower) return 0;
  const model::VisionConfig& c = model.config.vision;
  const int64_t item = item_size(model.vision_dtype());
  const int64_t num_rows = num_tiles * (c.num_patches() + 1);
  const int64_t D = c.hidden_size;
  const int64_t num_selected = static_cast<int64_t>(model.config.vision_feature_layers.size());
  // As in the decoder; the feed-forward block has two wide tensors. The selected states wait.
  const int64_t layer_width =
      std::max(7 * D, 4 * D + 2 * int64_t{c.intermediate_size}) + num_selected * D;
  // Pixels as they come, rounded to the decoder's dtype, and in the tower's.
  const int64_t num_pixels = num_tiles * c.num_channels * c.image_size * c.image_size;
  const int64_t pixels = num_pixels * (kFloat + item_size(model.dtype()) + item);
  // The projector: its input in its own dtype, two hidden layers and their result.
  const int64_t projected =
      num_rows * (2 * num_selected * D + 4 * int64_t{model.config.decoder.hidden_size}) * kFloat;
  return with_pool(pixels + std::max(num_rows * layer_width * item, projected));
}

int64_t most_tiles(const image::ImageGeometry& geometry) {
  if (geometry.mode != image::AspectMode::kAnyres) return 1;
  int64_t most = 1;
  for (const image::ImageSize& canvas : geometry.pinpoints) {
    most = std::max(most, int64_t{canvas.width / geometry.tile_size} *
                              int64_t{canvas.height / geometry.tile_size});
  }
  return 1 + most;
}

}  // namespace llava::engine
