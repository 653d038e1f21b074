// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/quantize/gguf_output.h"

#include <array>
#include <utility>

#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/checkpoint/key_names.h"
#include "llava/core/error.h"
#include "llava/engine/quantize/gguf_tokenizer.h"
#include "llava/tensor/packed.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::GgufMetadata;
using checkpoint::GgufType;
using checkpoint::GgufWriter;
using model::DecoderConfig;
using model::DecoderFamily;
using model::RopeScaling;

constexpr uint32_t kQuantizationVersion = 2;

struct NamePair {
  std::string_view original;
  std::string_view gguf;
};

constexpr std::string_view kTower = "model.vision_tower.vision_tower.vision_model.";
constexpr std::string_view kTowerLayer = "encoder.layers.";

constexpr std::array<NamePair, 7> kTowerNames = {{
    {"embeddings.class_embedding", "v.class_embd"},
    {"embeddings.patch_embedding.weight", "v.patch_embd.weight"},
    {"embeddings.position_embedding.weight", "v.position_embd.weight"},
    {"pre_layrnorm.weight", "v.pre_ln.weight"},
    {"pre_layrnorm.bias", "v.pre_ln.bias"},
    {"post_layernorm.weight", "v.post_ln.weight"},
    {"post_layernorm.bias", "v.post_ln.bias"},
}};

constexpr std::array<NamePair, 8> kTowerLayerNames = {{
    {"self_attn.q_proj.", "attn_q."},
    {"self_attn.k_proj.", "attn_k."},
    {"self_attn.v_proj.", "attn_v."},
    {"self_attn.out_proj.", "attn_out."},
    {"layer_norm1.", "ln1."},
    {"layer_norm2.", "ln2."},
    {"mlp.fc1.", "ffn_up."},
    {"mlp.fc2.", "ffn_down."},
}};

// The name in mmproj; empty for a tensor of the language model.
std::string projector_name(std::string_view name) {
  constexpr std::string_view kProjector = "model.mm_projector.";
  if (name == "model.image_newline") return "v.image_newline";
  if (name.starts_with(kProjector)) {
    return "mm." + std::string(name.substr(kProjector.size()));
  }
  if (!name.starts_with(kTower)) return {};
  std::string_view rest = name.substr(kTower.size());
  for (const NamePair& pair : kTowerNames) {
    if (rest == pair.original) return std::string(pair.gguf);
  }
  if (rest.starts_with(kTowerLayer)) {
    rest.remove_prefix(kTowerLayer.size());
    const std::size_t dot = rest.find('.');
    const std::string_view leaf = rest.substr(dot + 1);
    for (const NamePair& pair : kTowerLayerNames) {
      if (!leaf.starts_with(pair.original)) continue;
      return fmt::format("v.blk.{}.{}{}", rest.substr(0, dot), pair.gguf,
                         leaf.substr(pair.original.size()));
    }
  }
  fail(ErrorCode::kInternal, "tensor '{}' has no GGUF name", name);
}

// Looked up, convolved with or added: llama.cpp keeps these as floats.
bool is_float_only(const checkpoint::PlannedTensor& tensor) {
  return tensor.shape.size() < 2 || tensor.name.find("_embedding") != std::string::npos ||
         tensor.name.find("embeddings.") != std::string::npos;
}

uint32_t number(int32_t value) { return static_cast<uint32_t>(value); }

void add_decoder(const CheckpointPlace& place, GgufMetadata& metadata) {
  const DecoderConfig& c = place.description.config.decoder;
  const std::string a = c.family == DecoderFamily::kQwen2 ? "qwen2" : "llama";
  metadata.add("general.architecture", a);
  metadata.add("general.name", place.name);
  metadata.add("general.quantization_version", kQuantizationVersion);
  metadata.add(a + ".vocab_size", number(c.vocab_size));
  metadata.add(a + ".context_length", number(c.max_position_embeddings));
  metadata.add(a + ".embedding_length", number(c.hidden_size));
  metadata.add(a + ".feed_forward_length", number(c.intermediate_size));
  metadata.add(a + ".block_count", number(c.num_hidden_layers));
  metadata.add(a + ".attention.head_count", number(c.num_attention_heads));
  metadata.add(a + ".attention.head_count_kv", number(c.num_key_value_heads));
  metadata.add(a + ".attention.key_length", number(c.head_dim));
  metadata.add(a + ".attention.value_length", number(c.head_dim));
  metadata.add(a + ".rope.dimension_count", number(c.head_dim));
  metadata.add(a + ".attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  metadata.add(a + ".rope.freq_base", static_cast<float>(c.rope.theta));
  if (c.rope.scaling == RopeScaling::kLinear) {
    metadata.add(a + ".rope.scaling.type", std::string_view("linear"));
    metadata.add(a + ".rope.scaling.factor", static_cast<float>(c.rope.factor));
  } else if (c.rope.scaling != RopeScaling::kNone) {
    fail(ErrorCode::kUnsupported,
         "'{}' scales its rotary positions in a way that --format gguf does not write; supported "
         "are none and linear: write a packed store, or convert it with llama.cpp",
         place.name);
  }
}

void add_tower(const GgufSource& source, GgufMetadata& metadata) {
  const model::LlavaConfig& c = source.place.description.config;
  const model::VisionConfig& v = c.vision;
  if (c.projector.type != model::ProjectorType::kMlp || c.projector.mlp_depth != 2 ||
      c.geometry.has_class_token || c.vision_feature_layers.size() != 1) {
    fail(ErrorCode::kUnsupported,
         "'{}' has no counterpart in llama.cpp; --format gguf writes projectors of two layers on "
         "the patches of one hidden state: write a packed store",
         source.place.name);
  }
  metadata.add("general.architecture", std::string_view("clip"));
  metadata.add("general.name", source.place.name);
  metadata.add("clip.has_vision_encoder", true);
  metadata.add("clip.projector_type", std::string_view("mlp"));
  metadata.add("clip.use_gelu", v.activation == Activation::kGelu);
  metadata.add("clip.vision.image_size", number(v.image_size));
  metadata.add("clip.vision.patch_size", number(v.patch_size));
  metadata.add("clip.vision.embedding_length", number(v.hidden_size));
  metadata.add("clip.vision.feed_forward_length", number(v.intermediate_size));
  metadata.add("clip.vision.projection_dim", number(c.decoder.hidden_size));
  metadata.add("clip.vision.block_count", number(v.num_hidden_layers));
  metadata.add("clip.vision.attention.head_count", number(v.num_attention_heads));
  metadata.add("clip.vision.attention.layer_norm_epsilon", v.layer_norm_eps);
  const auto floats = [](const std::array<double, 3>& values) {
    return std::array<float, 3>{static_cast<float>(values[0]), static_cast<float>(values[1]),
                                static_cast<float>(values[2])};
  };
  metadata.add("clip.vision.image_mean", floats(source.processor.mean));
  metadata.add("clip.vision.image_std", floats(source.processor.std));
  const int32_t layer = c.vision_feature_layers.front();
  if (layer != -2) {  // its default
    const std::array<int32_t, 1> layers = {layer < 0 ? v.num_hidden_layers + 1 + layer : layer};
    metadata.add("clip.vision.feature_layer", layers);
  }
  if (c.geometry.mode != image::AspectMode::kAnyres) return;
  if (c.geometry.merge.has_unpad) {
    metadata.add("clip.vision.mm_patch_merge_type", std::string_view("spatial_unpad"));
  }
  std::vector<int32_t> pinpoints;
  for (const image::ImageSize size : c.geometry.pinpoints) {
    pinpoints.push_back(size.width);
    pinpoints.push_back(size.height);
  }
  metadata.add("clip.vision.image_grid_pinpoints", pinpoints);
}

}  // namespace

GgufOutput::GgufOutput(const fs::path& folder, const GgufSource& source,
                       const std::vector<checkpoint::PlannedTensor>& plan)
    : decoder_(source.place.description.config.decoder) {
  std::vector<GgufWriter::Entry> model, projector;
  for (const checkpoint::PlannedTensor& tensor : plan) {
    const std::string name = projector_name(tensor.name);
    const GgufType type = name.empty() || !is_float_only(tensor)
                              ? checkpoint::gguf_type_of(tensor.dtype, tensor.shape)
                              : GgufType::kF32;
    if (name.empty()) {
      model.push_back({checkpoint::gguf_name(tensor.name), tensor.shape, type});
    } else {
      projector.push_back({name, tensor.shape, type});
    }
  }
  GgufMetadata metadata;
  add_decoder(source.place, metadata);
  add_gguf_tokenizer(source.place, source.text, metadata);
  model_.emplace(folder / kGgufModelFile, metadata, std::move(model));
  if (!source.place.description.config.has_vision) return;
  GgufMetadata tower;
  add_tower(source, tower);
  projector_.emplace(folder / kGgufProjectorFile, tower, std::move(projector));
}

uint64_t GgufOutput::file_bytes() const {
  return model_->file_bytes() + (projector_ ? projector_->file_bytes() : 0);
}

// llama.cpp turns neighbouring rows of q and k of the llama architecture, not halves of a head.
std::vector<int64_t> GgufOutput::row_order(const std::string& name) const {
  if (decoder_.family == DecoderFamily::kQwen2 || !name.starts_with("model.layers.")) return {};
  int64_t num_heads = 0;
  if (name.find(".q_proj.") != std::string::npos) num_heads = decoder_.num_attention_heads;
  if (name.find(".k_proj.") != std::string::npos) num_heads = decoder_.num_key_value_heads;
  std::vector<int64_t> order;
  for (int64_t head = 0; head < num_heads; ++head) {
    for (int64_t j = 0; j < decoder_.head_dim / 2; ++j) {
      order.push_back(head * decoder_.head_dim + j);
      order.push_back(head * decoder_.head_dim + j + decoder_.head_dim / 2);
    }
  }
  return order;
}

void GgufOutput::write(const std::string& name, const Tensor& tensor) {
  const bool is_model = projector_name(name).empty();
  GgufWriter& writer = is_model ? *model_ : *projector_;
  std::size_t& next = is_model ? next_model_ : next_projector_;
  writer.write(checkpoint::to_gguf(tensor, writer.entries().at(next++).type, row_order(name)));
}

void GgufOutput::finish() {
  model_->finish();
  if (projector_) projector_->finish();
}

}  // namespace llava::engine
