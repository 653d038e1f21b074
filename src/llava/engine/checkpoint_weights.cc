// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/checkpoint_weights.h"

#include "llava/checkpoint/adapter_config.h"
#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/lora_weights.h"
#include "llava/checkpoint/packed_store.h"
#include "llava/checkpoint/resized_table.h"
#include "llava/checkpoint/sharded.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::Layout;
using SourcePtr = std::shared_ptr<const checkpoint::TensorSource>;

StoreTypes types_of(const checkpoint::PackedStore& store, const fs::path& folder) {
  const auto type = [&](const std::string& key) {
    const auto it = store.metadata().find(key);
    const auto dtype = it == store.metadata().end() ? std::nullopt : dtype_from_name(it->second);
    if (!dtype || !is_compute_dtype(*dtype)) {
      fail(ErrorCode::kBadFormat,
           "'{}': metadata of model.llava says '{}' for '{}', expected float32, float16 or "
           "bfloat16: make it again with 'llava quantize'",
           folder.string(), it == store.metadata().end() ? "" : it->second, key);
    }
    return *dtype;
  };
  return {.language = type("dtype"),
          .vision = type("vision_dtype"),
          .projector = type("projector_dtype")};
}

// Full weights of a folder or GGUF file under the original's names.
SourcePtr open_language_model(const fs::path& path, const checkpoint::GgufLoading& loading,
                              std::optional<StoreTypes>& store_types) {
  if (!fs::is_directory(path)) {
    return checkpoint::gguf_language_model(checkpoint::GgufFile::open(path), loading);
  }
  SourcePtr source = checkpoint::open_weights(path);
  if (const auto store = std::dynamic_pointer_cast<const checkpoint::PackedStore>(source)) {
    store_types = types_of(*store, path);
    return source;  // its names are canonical
  }
  return checkpoint::rename_source(std::move(source), [](std::string_view key) {
    return std::optional<std::string>(checkpoint::canonical_name(key));
  });
}

SourcePtr open_tower(const fs::path& folder) {
  return checkpoint::rename_source(checkpoint::open_weights(folder),
                                   checkpoint::canonical_tower_name);
}

void add_lora(const fs::path& folder, checkpoint::ModelWeights& weights) {
  const checkpoint::AdapterConfig config = checkpoint::read_adapter_config(folder);
  checkpoint::LoraWeights lora = checkpoint::read_lora_weights(folder, config);
  for (auto& [name, pair] : lora.pairs) weights.adapters[name] = {pair.a, pair.b, pair.scale};
  if (!lora.replacements.empty()) {
    weights.sources.push_back(checkpoint::source_of_tensors(std::move(lora.replacements),
                                                            (folder / "adapter_model").string()));
  }
  if (auto trained = checkpoint::open_non_lora_trainables(folder)) {
    weights.sources.push_back(std::move(trained));
  }
}

// A compute type that is asked for is one to widen the weights to.
bool keeps_packed(const LoadRequest& request) { return request.dtype == "auto"; }

checkpoint::WeightForms forms_of(const LoadRequest& request) {
  if (request.load_8bit) return checkpoint::forms_of_8_bits();
  if (request.load_4bit) return checkpoint::forms_of_4_bits();
  return {};
}

// The checkpoint's own type; float32 where the weights are quantised.
DType own_dtype(const checkpoint::ModelWeights& weights) {
  const std::string probe = "model.layers.0.self_attn.q_proj.weight";
  for (const SourcePtr& source : weights.sources) {
    const auto it = source->tensors().find(probe);
    if (it != source->tensors().end() && is_compute_dtype(it->second.dtype)) {
      return it->second.dtype;
    }
  }
  return DType::kFloat32;
}

}  // namespace

checkpoint::GenerationDefaults read_decoding_defaults(const CheckpointPlace& place) {
  for (const fs::path& folder : {place.language_model(), place.path}) {
    if (fs::is_directory(folder)) return checkpoint::read_generation_defaults(folder);
  }
  return {};
}

bool needs_base(Layout layout) {
  return layout == Layout::kLora || layout == Layout::kProjectorOnly;
}

CheckpointWeights open_checkpoint_weights(CheckpointPlace& place, const LoadRequest& request,
                                          const fs::path& tower_folder, int32_t num_tokens,
                                          ThreadPool* pool) {
  CheckpointWeights weights;
  checkpoint::CheckpointDescription& description = place.description;
  std::vector<SourcePtr>& sources = weights.model.sources;
  if (description.layout == Layout::kLora) add_lora(place.path, weights.model);
  if (description.layout == Layout::kProjectorOnly) {
    sources.push_back(checkpoint::open_projector_file(place.path));
  }
  weights.is_tower_separate =
      description.config.has_vision && !tower_folder.empty() && !description.has_tower_weights;
  if (weights.is_tower_separate) sources.push_back(open_tower(tower_folder));
  if (needs_base(description.layout) && place.base.empty()) return weights;
  sources.push_back(open_language_model(place.language_model(),
                                        {.keeps_blocks = keeps_packed(request), .pool = pool},
                                        weights.store_types));
  // A GGUF file or a base says by leaving the head out that it is tied.
  const bool can_learn = !place.base.empty() || place.is_gguf(place.path);
  if (can_learn && !sources.back()->tensors().contains("lm_head.weight")) {
    description.config.decoder.is_head_tied = true;
  }
  if (description.layout != Layout::kHuggingFace) {
    sources = checkpoint::fit_tables(std::move(sources), description.config.decoder, num_tokens);
  }
  return weights;
}

checkpoint::LoadModelOptions load_options(const LoadRequest& request,
                                          const CheckpointWeights& weights) {
  checkpoint::LoadModelOptions options;
  options.forms = forms_of(request);
  options.keeps_packed = keeps_packed(request);
  const DType own = weights.store_types ? weights.store_types->language : own_dtype(weights.model);
  options.dtype = options.forms.is_quantized() ? DType::kFloat32 : own;
  if (request.dtype != "auto") options.dtype = *dtype_from_name(request.dtype);
  options.vision_dtype = weights.is_tower_separate ? DType::kFloat32
                         : request.dtype == "auto" ? own
                                                   : options.dtype;
  if (weights.store_types && request.dtype == "auto") {
    options.vision_dtype = weights.store_types->vision;
    options.projector_dtype = weights.store_types->projector;
  }
  if (request.vision_dtype != "auto") options.vision_dtype = *dtype_from_name(request.vision_dtype);
  options.merges_adapters = request.lora == "merged";
  options.rounds_to_float16 = request.rounds_to_float16;
  return options;
}

}  // namespace llava::engine
