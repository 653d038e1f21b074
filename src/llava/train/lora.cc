// SPDX-License-Identifier: Apache-2.0
#include "llava/train/lora.h"

#include <cmath>
#include <map>
#include <regex>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/checkpoint/lora_weights.h"
#include "llava/core/error.h"
#include "llava/train/dropout.h"
#include "llava/train/initial_values.h"

namespace llava::train {
namespace {

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

float scale_of(const LoraArguments& arguments) {
  const auto rank = static_cast<double>(arguments.lora_r);
  return static_cast<float>(arguments.lora_alpha /
                            (arguments.lora_use_rslora ? std::sqrt(rank) : rank));
}

// The folder's adapters by layer, checked against what is asked for.
std::map<std::string, checkpoint::LoraPair> read_adapters(const LoraArguments& arguments,
                                                          const std::vector<std::string>& targets) {
  const std::string& folder = arguments.lora_weight_path;
  const checkpoint::AdapterConfig config = checkpoint::read_adapter_config(folder);
  checkpoint::LoraWeights weights = checkpoint::read_lora_weights(folder, config);
  for (const std::string& target : targets) {
    const auto pair = weights.pairs.find(target);
    if (pair == weights.pairs.end()) {
      fail(ErrorCode::kInvalidArgument,
           "--lora-weight-path '{}' has no adapter for '{}', which is to have one: choose the "
           "layers it has with --lora-target-modules",
           folder, target);
    }
    if (pair->second.a.dim(0) != arguments.lora_r || pair->second.scale != scale_of(arguments)) {
      fail(
          ErrorCode::kInvalidArgument,
          "--lora-weight-path '{}' has rank {} and scale {} at '{}', --lora-r and --lora-alpha ask "
          "for {} and {}: give its own, --lora-r {} --lora-alpha {}",
          folder, pair->second.a.dim(0), pair->second.scale, target, arguments.lora_r,
          scale_of(arguments), config.r, config.lora_alpha);
    }
  }
  if (weights.pairs.size() > targets.size()) {
    fail(ErrorCode::kInvalidArgument,
         "--lora-weight-path '{}' has adapters for {} layers, of which {} are to have one: choose "
         "all of them with --lora-target-modules",
         folder, weights.pairs.size(), targets.size());
  }
  return std::move(weights.pairs);
}

}  // namespace

std::vector<std::string> lora_targets(model::LlavaModel& model, const std::string& pattern) {
  std::vector<std::string> targets;
  std::regex expression;
  try {
    expression = std::regex(pattern, std::regex::ECMAScript);
  } catch (const std::regex_error& e) {
    fail(ErrorCode::kInvalidArgument, "--lora-target-modules '{}' is no regular expression: {}",
         pattern, e.what());
  }
  const auto is_target = [&](const std::string& name) {
    if (!pattern.empty()) return std::regex_match(name, expression);
    return !contains(name, "mm_projector") && !contains(name, "vision_tower") && name != "lm_head";
  };
  model::visit(model,
               {.on_parameter = {}, .on_linear = [&](const std::string& name, model::Linear&) {
                  if (is_target(name)) targets.push_back(name);
                }});
  for (const std::string& name : targets) {
    if (name == "lm_head") {
      fail(ErrorCode::kInvalidArgument,
           "--lora-target-modules '{}' matches lm_head, which can have no adapter: leave it out",
           pattern);
    }
  }
  if (targets.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "--lora-target-modules '{}' matches no linear layer of the model; names are such as "
         "'model.layers.0.self_attn.q_proj'",
         pattern);
  }
  return targets;
}

Lora attach_lora(model::LlavaModel& model, const LoraArguments& arguments, uint64_t seed,
                 DType dtype, std::vector<TrainedParameter>& parameters) {
  Lora lora{.targets = lora_targets(model, arguments.lora_target_modules)};
  std::map<std::string, checkpoint::LoraPair> given;
  if (!arguments.lora_weight_path.empty()) given = read_adapters(arguments, lora.targets);
  const std::map<std::string, std::size_t> places = [&] {
    std::map<std::string, std::size_t> result;
    for (std::size_t i = 0; i < lora.targets.size(); ++i) result[lora.targets[i]] = i;
    return result;
  }();
  InitialValues random(seed, InitialStream::kAdapters);
  const auto attach = [&](const std::string& name, model::Linear& linear) {
    const auto place = places.find(name);
    if (place == places.end()) return;
    Tensor a_RI, b_OR;
    if (const auto pair = given.find(name); pair != given.end()) {
      a_RI = pair->second.a;
      b_OR = pair->second.b;
    } else {
      a_RI = Tensor::empty({arguments.lora_r, linear.in_features()}, DType::kFloat32);
      random.fill_as_linear(a_RI.mutable_data<float>(), linear.in_features());
      b_OR = Tensor::zeros({linear.out_features(), arguments.lora_r}, DType::kFloat32);
    }
    parameters.push_back(make_parameter(name + ".lora_A", to_at(a_RI), scalar_type(dtype)));
    const at::Tensor a = parameters.back().value;
    parameters.push_back(make_parameter(name + ".lora_B", to_at(b_OR), scalar_type(dtype)));
    const at::Tensor b = parameters.back().value;
    model::LoraAdapter adapter{
        .a_RI = from_at(a), .b_OR = from_at(b), .scale = scale_of(arguments)};
    if (arguments.lora_dropout > 0) {
      adapter.on_input = [clock = lora.clock, p = arguments.lora_dropout, seed,
                          where = static_cast<uint32_t>(place->second)](Context&, const Tensor& x) {
        if (!clock->is_training) return x;
        return from_at(
            dropout(to_at(x), p, {.seed = seed, .micro_step = clock->micro_step, .place = where}));
      };
    }
    linear.adapters.push_back(std::move(adapter));
  };
  model::visit(model, {.on_parameter = {}, .on_linear = attach});
  return lora;
}

}  // namespace llava::train
