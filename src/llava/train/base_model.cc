// SPDX-License-Identifier: Apache-2.0
#include "llava/train/base_model.h"

#include <cmath>
#include <map>

#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/checkpoint/hub_cache.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/resized_table.h"
#include "llava/checkpoint/sharded.h"
#include "llava/checkpoint/vision_tower_folder.h"
#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/train/initial_values.h"
#include "llava/train/run_config.h"
#include "llava/train/table_growth.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;
using SourcePtr = std::shared_ptr<const checkpoint::TensorSource>;

fs::path find_base(const std::string& name, std::string_view flag) {
  std::error_code error;
  if (fs::is_directory(name, error) || fs::is_regular_file(name, error)) return name;
  if (const auto hub = checkpoint::parse_hub_name(name)) {
    const fs::path cached = checkpoint::find_in_hub_cache(*hub);
    if (!cached.empty()) {
      log_info("model_from_hub_cache", {{"name", name}, {"folder", cached.string()}});
      return cached;
    }
  }
  fail(ErrorCode::kNotFound,
       "{} '{}' is no folder or GGUF file here, and no model of that name is in the hub's cache "
       "'{}': check the path, or fetch the model with 'llava pull {}'",
       flag, name, checkpoint::hub_cache().string(), name);
}

// What a checkpoint may lack and training draws: the projector as torch's Linear starts, and
// image_newline, normal with variance 1/width.
std::map<std::string, Tensor> new_parts(const model::LlavaConfig& config, uint64_t seed) {
  model::LlavaModel shapes(config);
  InitialValues random(seed, InitialStream::kNewParts);
  std::map<std::string, Tensor> tensors;
  int64_t inputs = 0;  // of the layer whose weight came last: its bias comes next
  model::visit(shapes, {.on_parameter =
                            [&](const std::string& name, model::Parameter& parameter) {
                              if (name.find("mm_projector") == std::string::npos) return;
                              if (parameter.shape.size() == 2) inputs = parameter.shape[1];
                              Tensor values = Tensor::empty(parameter.shape, DType::kFloat32);
                              random.fill_as_linear(values.mutable_data<float>(), inputs);
                              tensors.emplace(name, std::move(values));
                            },
                        .on_linear = {}});
  if (config.has_image_newline) {
    Tensor newline = Tensor::empty(shapes.image_newline.shape, DType::kFloat32);
    random.fill_normal(newline.mutable_data<float>(),
                       1.0 / std::sqrt(static_cast<double>(newline.numel())));
    tensors.emplace("model.image_newline", std::move(newline));
  }
  return tensors;
}

SourcePtr open_projector(const fs::path& file) {
  SourcePtr source = checkpoint::rename_source(checkpoint::open_tensor_file(file),
                                               checkpoint::canonical_projector_file_name);
  for (const auto& [name, info] : source->tensors()) {
    if (name.find("mm_projector") != std::string::npos) return source;
  }
  fail(ErrorCode::kBadFormat,
       "--pretrain-mm-mlp-adapter '{}' holds no tensor of a projector ('...mm_projector...'): give "
       "the mm_projector.bin or .safetensors of a stage 1 run",
       file.string());
}

SourcePtr renamed(const fs::path& folder, const checkpoint::KeyMap& map) {
  return checkpoint::rename_source(checkpoint::open_weights(folder), map);
}

std::optional<std::string> original_name(std::string_view key) {
  return checkpoint::canonical_name(key);
}

}  // namespace

std::optional<fs::path> BasePlace::gguf_vocabulary() const {
  const fs::path file = is_gguf() ? folder : folder / checkpoint::kGgufTokenizerFile;
  return fs::exists(file) ? std::optional(file) : std::nullopt;
}

BasePlace locate_base(const TrainConfig& config) {
  BasePlace place;
  place.folder = find_base(config.model.model_name_or_path, "--model-name-or-path");
  const fs::path file = place.is_gguf() ? place.folder : place.folder / "config.json";
  const Json base = place.is_gguf()
                        ? checkpoint::gguf_config_json(*checkpoint::GgufFile::open(place.folder))
                        : read_json_file(file);
  const fs::path base_folder = place.is_gguf() ? place.folder.parent_path() : place.folder;
  const bool is_multimodal = !config.model.vision_tower.empty();
  int32_t vision_width = 0;
  model::VisionConfig vision;
  if (is_multimodal) {
    place.tower_folder = checkpoint::resolve_vision_tower({.name = config.model.vision_tower,
                                                           .checkpoint_folder = base_folder,
                                                           .explicit_folder = {},
                                                           .models_root = {}});
    vision = checkpoint::read_tower_config(place.tower_folder);
    vision_width = vision.hidden_size;
  }
  place.config = make_run_config(base, config, vision_width, file.string());
  place.description = checkpoint::read_config(
      place.config, file.string(),
      is_multimodal ? checkpoint::Layout::kOriginal : checkpoint::Layout::kLanguageModel);
  place.description.folder = base_folder;
  if (is_multimodal) checkpoint::attach_vision(place.description, vision);
  return place;
}

data::TrainingTokenizer open_base_tokenizer(const BasePlace& place, const TrainConfig& config) {
  const data::TokenizerRequest request{
      .folder = place.folder,
      .is_mistral = place.description.config.decoder.family == model::DecoderFamily::kMistral,
      .version = config.model.version,
      .is_multimodal = place.is_multimodal(),
      .mm_use_im_patch_token = config.model.mm_use_im_patch_token,
      .mm_use_im_start_end = config.model.mm_use_im_start_end};
  const auto gguf = place.gguf_vocabulary();
  if (!gguf) return data::open_training_tokenizer(request);
  return data::open_gguf_training_tokenizer(
      checkpoint::read_gguf_vocabulary(*checkpoint::GgufFile::open(*gguf)), request);
}

SourcePtr open_base_weights(const fs::path& base) {
  if (fs::is_regular_file(base)) {
    return checkpoint::gguf_language_model(checkpoint::GgufFile::open(base));
  }
  return renamed(base, original_name);
}

ComputeTypes compute_types(const TrainConfig& config) {
  const OptimizationArguments& o = config.optimization;
  ComputeTypes types;
  types.model = o.bf16 ? DType::kBFloat16 : o.fp16 ? DType::kFloat16 : DType::kFloat32;
  types.vision_tower = types.model;
  // The original moves the tower to the device in float16 unless the run is in bfloat16.
  if (config.compat() == Compat::kReference && !o.bf16) types.vision_tower = DType::kFloat16;
  if (!o.vision_tower_dtype.empty()) {
    types.vision_tower = *dtype_from_name(o.vision_tower_dtype);
  }
  return types;
}

checkpoint::ModelWeights open_base(BasePlace& place, const TrainConfig& config,
                                   const data::TrainingTokenizer& tokenizer) {
  const int32_t num_tokens = tokenizer.tokenizer->size();
  model::LlavaConfig& shape = place.description.config;
  checkpoint::ModelWeights weights;
  if (!config.model.pretrain_mm_mlp_adapter.empty()) {
    weights.sources.push_back(open_projector(config.model.pretrain_mm_mlp_adapter));
  }
  if (place.is_multimodal()) {
    weights.sources.push_back(renamed(place.tower_folder, checkpoint::canonical_tower_name));
  }
  const SourcePtr base = open_base_weights(place.folder);
  auto tables = grown_tables(*base, tokenizer, place.config.value("initializer_range", 0.02),
                             config.run.seed);
  if (!tables.empty()) {
    shape.decoder.vocab_size = num_tokens;
    place.config["vocab_size"] = num_tokens;
    weights.sources.push_back(
        checkpoint::source_of_tensors(std::move(tables), place.folder.string()));
  }
  weights.sources.push_back(base);
  if (!weights.sources.back()->tensors().contains("lm_head.weight")) {
    shape.decoder.is_head_tied = true;
  }
  weights.sources = checkpoint::fit_tables(std::move(weights.sources), shape.decoder, num_tokens);
  weights.sources.push_back(
      checkpoint::source_of_tensors(new_parts(shape, config.run.seed), "new projector"));
  return weights;
}

checkpoint::LoadModelOptions load_options(const TrainConfig& config) {
  const ComputeTypes types = compute_types(config);
  checkpoint::LoadModelOptions options;
  options.dtype = types.model;
  options.vision_dtype = types.vision_tower;
  return options;
}

std::unique_ptr<model::LlavaModel> load_base(Context& ctx, const BasePlace& place,
                                             const checkpoint::ModelWeights& weights,
                                             const TrainConfig& config,
                                             const ProgressCallback& on_progress) {
  checkpoint::LoadModelOptions options = load_options(config);
  options.on_progress = on_progress;
  return checkpoint::load_model(ctx, place.description.config, weights, options);
}

}  // namespace llava::train
