// SPDX-License-Identifier: Apache-2.0
#include "llava/train/trainables.h"

#include <algorithm>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/core/error.h"
#include "llava/core/mapped_pages.h"

namespace llava::train {
namespace {

bool is_bias(const std::string& name) { return name.ends_with(".bias"); }

// Biases that train beside adapters.
bool trains_bias(const std::string& name, const LoraArguments& lora,
                 const std::vector<std::string>& targets) {
  if (!is_bias(name) || lora.lora_bias == "none") return false;
  if (lora.lora_bias == "all") return true;
  const std::string layer = name.substr(0, name.size() - std::string_view(".bias").size());
  return std::ranges::find(targets, layer) != targets.end();
}

// Decoder, projector, tower, head.
int rank_of(const TrainedParameter& parameter) {
  if (parameter.name.starts_with("lm_head.")) return 3;
  return static_cast<int>(parameter.part);
}

}  // namespace

bool is_trained(const std::string& name, const TrainConfig& config,
                const std::vector<std::string>& lora_targets) {
  const Part part = part_of(name);
  // The vector at the end of a picture's rows goes with the projector.
  if (part == Part::kProjector || name == "model.image_newline") {
    return !config.optimization.freeze_mm_mlp_adapter;
  }
  if (config.model.tune_mm_mlp_adapter) {
    return config.model.mm_use_im_start_end && name == "model.embed_tokens.weight";
  }
  if (config.model.freeze_embeddings && name == "model.embed_tokens.weight") return false;
  if (part == Part::kVisionTower) return config.optimization.tune_vision_tower;
  if (config.lora.lora_enable) return trains_bias(name, config.lora, lora_targets);
  return !config.model.freeze_backbone || name.starts_with("lm_head.");
}

Trainables make_trainable(model::LlavaModel& model, const TrainConfig& config) {
  Trainables result;
  if (config.lora.lora_enable) {
    result.lora =
        attach_lora(model, config.lora, config.run.seed, model.dtype(), result.parameters);
  }
  model::visit(model,
               {.on_parameter =
                    [&](const std::string& name, model::Parameter& parameter) {
                      if (!parameter.value.is_defined()) return;
                      if (!is_trained(name, config, result.lora.targets)) return;
                      result.parameters.push_back(make_parameter(
                          name, to_at(parameter.value), scalar_type(parameter.value.dtype())));
                      if (parameter.value.storage()->is_foreign()) {
                        give_back_pages(parameter.value.bytes());
                      }
                      parameter.value = from_at(result.parameters.back().value);
                    },
                .on_linear = {}});
  if (result.parameters.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "nothing would train: the flags freeze every part; leave out --freeze-mm-mlp-adapter or "
         "--tune-mm-mlp-adapter, or give --lora-enable");
  }
  std::ranges::stable_sort(result.parameters, std::ranges::less{}, rank_of);
  return result;
}

}  // namespace llava::train
