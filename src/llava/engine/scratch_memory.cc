// SPDX-License-Identifier: Apache-2.0
//
// The sums follow the tensors that are alive together in Decoder::forward, VisionTower::forward and
// ModelRunner; a change there is a change here (scratch_memory_test.cc compares with what a step
// takes).
#include "llava/engine/scratch_memory.h"

#include <algorithm>

#include "llava/engine/generation_task.h"

namespace llava::engine {
namespace {

constexpr int64_t kFloat = 4;
// Buffers are rounded up by an eighth at most (backend/native/result_pool.h). Within a step, those
// of one size are used again and those of another lie idle, so the most of each size count, whether
// or not they are needed at the same time. What lies idle from steps of other lengths does not: it
// is given up when memory runs out.
int64_t rounded(int64_t bytes) { return bytes + bytes / 8; }

// A packed matrix takes each row as codes, 1.5 bytes an input (backend/native/native_backend.h);
// rows that are not float32 are widened for it, and its results are float32 before they are
// rounded.
int64_t packed_linear_bytes(const model::Linear& linear, int64_t num_rows, DType dtype) {
  const Tensor& weight = linear.weight.value;
  if (!weight.is_defined() || !is_packed(weight.dtype())) return 0;
  const int64_t inputs = weight.dim(1);
  const int64_t outputs = weight.dim(0);
  const int64_t widened = dtype == DType::kFloat32 ? 0 : kFloat * (inputs + outputs);
  return num_rows * (inputs + inputs / 2 + widened);
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
  // Of the model's width: embeddings, input, normed and attended rows, and what is added. Queries
  // before and after their rotation and what they mix to, keys before and after, values. Gate, up
  // and their product.
  int64_t layer_width = 5 * D + 3 * queries + 3 * keys + 3 * F;
  int64_t packed = 0;
  if (!model.decoder.layers.empty()) {
    const auto& mlp = model.decoder.layers.front().mlp;
    // An adapter's product, and its sum with that of the base.
    if (!mlp.gate_proj.adapters.empty()) layer_width += 2 * F;
    packed = std::max(packed_linear_bytes(mlp.down_proj, step.num_tokens, dtype),
                      2 * packed_linear_bytes(mlp.gate_proj, step.num_tokens, dtype));
  }
  const int64_t layer = step.num_tokens * layer_width * item + packed;
  // The head's results, in float32 if they are not, and the copy that the engine keeps.
  const int64_t widened = dtype == DType::kFloat32 ? 0 : kFloat;
  const int64_t V = c.vocab_size;
  const int64_t head = step.num_logits * (D * item + V * (item + widened)) +
                       packed_linear_bytes(model.lm_head, step.num_logits, dtype);
  return rounded(layer + head) + step.num_logits * V * kFloat;
}

int64_t look_scratch_bytes(const model::LlavaModel& model, int64_t num_tokens) {
  const model::DecoderConfig& c = model.config.decoder;
  const int64_t num_rows = kLookTokensPerStep;
  const int64_t group = c.num_attention_heads / c.num_key_value_heads;
  // Keys as they are stored and as float32, and the queries likewise; scores.
  const int64_t stored = kFloat + item_size(DType::kFloat32);
  const int64_t head = (num_tokens + num_rows * group) * c.head_dim * stored +
                       num_rows * group * num_tokens * kFloat;
  const int64_t indices = (num_tokens + num_rows * group) * int64_t{sizeof(int32_t)};
  // Sums in float64, the map of each and the copy that the engine keeps.
  const int64_t maps = num_rows * num_tokens * int64_t{sizeof(double) + 2 * sizeof(float)};
  return rounded(head) + indices + maps;
}

int64_t encode_scratch_bytes(const model::LlavaModel& model, int64_t num_tiles) {
  if (!model.vision_tower) return 0;
  const model::VisionConfig& c = model.config.vision;
  const int64_t item = item_size(model.vision_dtype());
  const int64_t num_rows = num_tiles * (c.num_patches() + 1);
  const int64_t D = c.hidden_size;
  const int64_t num_selected = static_cast<int64_t>(model.config.vision_feature_layers.size());
  // As in the decoder, without keys of another width; the feed-forward block has two wide tensors.
  // The selected states wait.
  const int64_t layer_width = 8 * D + 2 * int64_t{c.intermediate_size} + num_selected * D;
  // Pixels as they come, rounded to the decoder's dtype, and in the tower's.
  const int64_t num_pixels = num_tiles * c.num_channels * c.image_size * c.image_size;
  const int64_t pixels = num_pixels * (kFloat + item_size(model.dtype()) + item);
  // The projector: its input in its own dtype, two hidden layers and their result.
  const int64_t projected = num_rows *
                            (2 * num_selected * D + 4 * int64_t{model.config.decoder.hidden_size}) *
                            item_size(model.projector->dtype(model.dtype()));
  return rounded(pixels + num_rows * layer_width * item + projected);
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
