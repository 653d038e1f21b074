// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/config_values.h"

#include <limits>

#include "llava/core/error.h"
#include "llava/core/grid_pairs.h"

namespace llava::checkpoint {

std::optional<int32_t> get_int32(const JsonObject& object, std::string_view key, int64_t low,
                                 int64_t high) {
  const auto value = object.get_int(key);
  if (!value) return std::nullopt;
  if (*value < low || *value > high) {
    object.wrong_type(key, fmt::format("an integer from {} to {}", low, high));
  }
  return static_cast<int32_t>(*value);
}

std::vector<int32_t> get_ids(const JsonObject& object, std::string_view key) {
  constexpr int64_t kMaxId = std::numeric_limits<int32_t>::max();
  const Json* value = object.find(key);
  if (value == nullptr) return {};
  std::vector<int32_t> ids;
  if (!value->is_array()) {
    const auto id = get_int32(object, key, -1, kMaxId);
    // -1 is how some published files say "none".
    if (id && *id >= 0) ids.push_back(*id);
    return ids;
  }
  const std::vector<int64_t> list = *object.get_int_list(key);
  for (const int64_t id : list) {
    if (id < 0 || id > kMaxId) object.wrong_type(key, "a token id or a list of token ids");
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

Activation read_activation(const JsonObject& object, std::string_view key, Activation absent) {
  const auto name = object.get_string(key);
  if (!name) return absent;
  if (*name == "gelu") return Activation::kGelu;
  if (*name == "gelu_pytorch_tanh" || *name == "gelu_new") return Activation::kGeluTanh;
  if (*name == "quick_gelu") return Activation::kQuickGelu;
  if (*name == "silu" || *name == "swish") return Activation::kSilu;
  if (*name == "relu") return Activation::kRelu;
  fail(
      ErrorCode::kUnsupported,
      "{}: key '{}' is '{}'; supported are gelu, gelu_pytorch_tanh, gelu_new, quick_gelu, silu and "
      "relu",
      object.source(), key, *name);
}

model::VisionConfig read_clip_config(const JsonObject& object,
                                     const model::VisionConfig& defaults) {
  const std::string type = object.get_string("model_type").value_or("clip_vision_model");
  if (type != "clip_vision_model" && type != "clip") {
    fail(ErrorCode::kUnsupported,
         "{}: the vision tower's model_type is '{}'; supported is clip_vision_model",
         object.source(), type);
  }
  constexpr int64_t kMaxWidth = 1 << 16;
  model::VisionConfig c = defaults;
  c.hidden_size = get_int32(object, "hidden_size", 1, kMaxWidth).value_or(c.hidden_size);
  c.intermediate_size =
      get_int32(object, "intermediate_size", 1, kMaxWidth).value_or(c.intermediate_size);
  c.num_hidden_layers =
      get_int32(object, "num_hidden_layers", 1, 1024).value_or(c.num_hidden_layers);
  c.num_attention_heads =
      get_int32(object, "num_attention_heads", 1, 1024).value_or(c.num_attention_heads);
  c.num_channels = get_int32(object, "num_channels", 1, 16).value_or(c.num_channels);
  c.image_size = get_int32(object, "image_size", 1, 8192).value_or(c.image_size);
  c.patch_size = get_int32(object, "patch_size", 1, 8192).value_or(c.patch_size);
  c.layer_norm_eps = static_cast<float>(
      object.get_number("layer_norm_eps").value_or(static_cast<double>(c.layer_norm_eps)));
  c.activation = read_activation(object, "hidden_act", c.activation);
  return c;
}

std::vector<int32_t> read_feature_layers(const JsonObject& object, std::string_view key) {
  const Json* value = object.find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) {
    const auto layer = object.get_int(key);
    if (*layer < -1024 || *layer > 1024) object.wrong_type(key, "a layer index");
    return {static_cast<int32_t>(*layer)};
  }
  std::vector<int32_t> layers;
  const std::vector<int64_t> list = *object.get_int_list(key);
  for (const int64_t layer : list) {
    if (layer < -1024 || layer > 1024) object.wrong_type(key, "a list of layer indices");
    layers.push_back(static_cast<int32_t>(layer));
  }
  if (layers.empty() || layers.size() > 64) object.wrong_type(key, "1 to 64 layer indices");
  return layers;
}

Pinpoints read_pinpoints(const JsonObject& object, std::string_view key, bool is_height_first) {
  const GridPairs grid = read_grid_pairs(object, key);
  if (grid.pairs.empty()) object.wrong_type(key, "at least one pair");
  Pinpoints result{.sizes = {}, .in_tiles = grid.in_tiles};
  for (const auto& [first, second] : grid.pairs) {
    result.sizes.push_back(is_height_first ? image::ImageSize{second, first}
                                           : image::ImageSize{first, second});
  }
  return result;
}

}  // namespace llava::checkpoint
