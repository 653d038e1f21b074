// SPDX-License-Identifier: Apache-2.0
#include "llava/train/model_files.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/checkpoint/generation_config.h"
#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/sharded_writer.h"
#include "llava/checkpoint/torch_zip_writer.h"
#include "llava/checkpoint/weights_hash.h"
#include "llava/core/file.h"
#include "llava/core/json.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

constexpr std::string_view kWrappedPrefix = "base_model.model.";
constexpr uint64_t kMaxSettingsBytes = uint64_t{16} << 20;
constexpr std::array<std::string_view, 5> kTokenizerFiles{"tokenizer.model", "tokenizer.json",
                                                          "special_tokens_map.json",
                                                          "added_tokens.json", "vocab.json"};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

void write_json(const fs::path& path, const Json& json) {
  write_file_atomically(path, to_text(json, 2) + "\n");
}

// All parameters that have a value and whose name is wanted, in host memory.
template <class Wanted>
NamedTensors parameters_of(const ModelToSave& run, const Wanted& wanted) {
  NamedTensors tensors;
  model::visit(run.model, {.on_parameter =
                               [&](const std::string& name, model::Parameter& parameter) {
                                 if (!parameter.value.is_defined() || !wanted(name)) return;
                                 const at::Tensor value = to_at(parameter.value).detach();
                                 tensors.emplace_back(name, run.backend.to_host(from_at(value)));
                               },
                           .on_linear = {}});
  return tensors;
}

void write_projector(const fs::path& file, const ModelToSave& run) {
  const NamedTensors tensors = parameters_of(run, [&](const std::string& name) {
    return contains(name, "mm_projector") || name == "model.image_newline" ||
           (run.config.model.mm_use_im_start_end && contains(name, "embed_tokens"));
  });
  fs::create_directories(file.parent_path());
  checkpoint::write_torch_zip(file, tensors);
  fs::path twin = file;
  checkpoint::write_safetensors(twin.replace_extension(".safetensors"), tensors,
                                {{"format", "pt"}});
}

Json adapter_config(const ModelToSave& run) {
  const LoraArguments& lora = run.config.lora;
  Json targets;
  if (!lora.lora_target_modules.empty()) {
    targets = lora.lora_target_modules;
  } else {
    std::set<std::string> leaves;
    for (const std::string& name : run.trainables.lora.targets) {
      leaves.insert(name.substr(name.rfind('.') + 1));
    }
    targets = leaves;
  }
  return {{"alpha_pattern", Json::object()},
          {"auto_mapping", nullptr},
          {"base_model_name_or_path", run.config.model.model_name_or_path},
          {"bias", lora.lora_bias},
          {"fan_in_fan_out", false},
          {"inference_mode", true},
          {"init_lora_weights", true},
          {"layers_pattern", nullptr},
          {"layers_to_transform", nullptr},
          {"lora_alpha", lora.lora_alpha},
          {"lora_dropout", lora.lora_dropout},
          {"modules_to_save", nullptr},
          {"peft_type", "LORA"},
          {"r", lora.lora_r},
          {"rank_pattern", Json::object()},
          {"revision", nullptr},
          {"target_modules", targets},
          {"task_type", "CAUSAL_LM"},
          {"use_dora", false},
          {"use_rslora", lora.lora_use_rslora}};
}

constexpr std::string_view kReadme =
    "---\nlibrary_name: peft\n---\n\nLow-rank adapters of a LLaVA, trained with `llava train`. The "
    "base is named in\n`adapter_config.json`; `non_lora_trainables.bin` holds the projector.\n\n"
    "    llava run --model-path THIS_FOLDER --model-base BASE --image-file a.jpg --query \"...\"\n";

void write_lora(const fs::path& folder, const ModelToSave& run) {
  NamedTensors adapters, others;
  for (const TrainedParameter& parameter : run.trainables.parameters) {
    const Tensor value = run.backend.to_host(from_at(parameter.value.detach()));
    std::string name = std::string(kWrappedPrefix) + parameter.name;
    if (parameter.is_adapter()) {
      adapters.emplace_back(name + ".weight", value);
    } else {
      others.emplace_back(std::move(name), value);
    }
  }
  if (run.config.run.save_safetensors) {
    checkpoint::write_safetensors(
        folder / "adapter_model.safetensors", adapters,
        {{"format", "pt"}, {std::string(checkpoint::kBaseWeightsHashKey), run.base_sha256}});
  } else {
    checkpoint::write_torch_zip(folder / "adapter_model.bin", adapters);
  }
  checkpoint::write_torch_zip(folder / "non_lora_trainables.bin", others);
  write_json(folder / "adapter_config.json", adapter_config(run));
  write_file_atomically(folder / "README.md", kReadme);
}

void write_full(const fs::path& folder, const ModelToSave& run) {
  const NamedTensors tensors = parameters_of(run, [](const std::string&) { return true; });
  if (run.config.run.save_safetensors) {
    checkpoint::write_sharded_weights(folder, checkpoint::weights_to_write(tensors));
  } else {
    checkpoint::write_torch_zip(folder / "pytorch_model.bin", tensors);
  }
}

void write_generation_config(const fs::path& folder, const ModelToSave& run) {
  const fs::path source = run.place.folder / "generation_config.json";
  if (!fs::exists(source)) return;
  const OrderedJson generation = checkpoint::consistent_generation_config(
      parse_ordered_json(read_file(source, kMaxSettingsBytes), source.string()));
  write_file_atomically(folder / "generation_config.json", to_text(generation, 2) + "\n");
}

void write_tokenizer(const fs::path& folder, const ModelToSave& run) {
  if (const auto gguf = run.place.gguf_vocabulary()) {
    write_file_atomically(folder / checkpoint::kGgufTokenizerFile,
                          checkpoint::GgufFile::open(*gguf)->without_tensors());
    return;
  }
  for (const std::string_view name : kTokenizerFiles) {
    const fs::path source = run.place.folder / name;
    if (fs::exists(source)) {
      fs::copy_file(source, folder / name, fs::copy_options::overwrite_existing);
    }
  }
  const fs::path settings = run.place.folder / "tokenizer_config.json";
  if (!fs::exists(settings)) return;
  Json json = read_json_file(settings);
  json["model_max_length"] = run.config.optimization.model_max_length;
  write_json(folder / "tokenizer_config.json", json);
}

std::string architecture_of(const std::string& model_type) {
  if (model_type == "llava_mistral") return "LlavaMistralForCausalLM";
  if (model_type == "llava_qwen") return "LlavaQwenForCausalLM";
  return "LlavaLlamaForCausalLM";
}

void write_config(const fs::path& folder, const ModelToSave& run, SaveMode mode, bool is_final) {
  Json config = run.place.config;
  config["use_cache"] = is_final;
  config["_name_or_path"] = run.config.model.model_name_or_path;
  if (run.config.model.version != "plain") config["conv_mode"] = run.config.model.version;
  if (mode == SaveMode::kFull) {
    if (run.place.is_multimodal()) {
      config["architectures"] = {architecture_of(config.value("model_type", ""))};
      // The tower's weights are in this folder.
      config["unfreeze_mm_vision_tower"] = run.config.optimization.tune_vision_tower;
    }
    config["torch_dtype"] = dtype_name(run.model.dtype());
  }
  write_json(folder / "config.json", config);
}

}  // namespace

SaveMode save_mode(const TrainConfig& config) {
  if (config.model.tune_mm_mlp_adapter) return SaveMode::kProjector;
  return config.lora.lora_enable ? SaveMode::kLora : SaveMode::kFull;
}

void write_model_files(const fs::path& folder, const ModelToSave& run, bool is_final) {
  const SaveMode mode = save_mode(run.config);
  switch (mode) {
    case SaveMode::kProjector: {
      const std::string name = folder.filename().string();
      if (is_final && name.starts_with("checkpoint-")) {
        write_projector(folder.parent_path() / "mm_projector" / (name + ".bin"), run);
      } else {
        write_projector(folder / "mm_projector.bin", run);
      }
      break;
    }
    case SaveMode::kLora:
      write_lora(folder, run);
      break;
    case SaveMode::kFull:
      write_full(folder, run);
      write_generation_config(folder, run);
      break;
  }
  write_config(folder, run, mode, is_final);
  if (mode == SaveMode::kFull || (mode == SaveMode::kLora && !is_final))
    write_tokenizer(folder, run);
}

}  // namespace llava::train
