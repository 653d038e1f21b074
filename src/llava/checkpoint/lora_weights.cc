// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/lora_weights.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/error.h"
#include "llava/core/log.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPeftPrefix = "base_model.model.";

// A key of an adapter file, taken apart.
struct AdapterKey {
  std::string module;  // path of the module, or the parameter's name for a replacement
  enum class Part { kA, kB, kReplacement } part = Part::kReplacement;
};

// "<module>.lora_A[.<adapter>].weight" -> module and part.
std::optional<AdapterKey> parse_pair_key(std::string_view name, std::string_view mark,
                                         AdapterKey::Part part) {
  const std::size_t at = name.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = name.substr(at + mark.size());
  if (!rest.ends_with("weight")) return std::nullopt;
  rest.remove_suffix(6);
  // Nothing, or one adapter name and its dot.
  if (std::count(rest.begin(), rest.end(), '.') > 1) return std::nullopt;
  if (!rest.empty() && rest.back() != '.') return std::nullopt;
  return AdapterKey{std::string(name.substr(0, at)), part};
}

bool is_saved_module(std::string_view name, const AdapterConfig& config) {
  return std::any_of(config.modules_to_save.begin(), config.modules_to_save.end(),
                     [&](const std::string& module) {
                       return name.starts_with(module + ".") ||
                              name.find("." + module + ".") != std::string_view::npos;
                     });
}

AdapterKey parse_key(std::string_view key, const AdapterConfig& config, std::string_view what) {
  std::string_view name = key;
  if (name.starts_with(kPeftPrefix)) name.remove_prefix(kPeftPrefix.size());
  if (auto pair = parse_pair_key(name, ".lora_A.", AdapterKey::Part::kA)) return *pair;
  if (auto pair = parse_pair_key(name, ".lora_B.", AdapterKey::Part::kB)) return *pair;
  if (name.find(".lora_magnitude_vector") != std::string_view::npos ||
      name.find(".lora_embedding_") != std::string_view::npos) {
    fail(ErrorCode::kUnsupported,
         "'{}': key '{}' belongs to DoRA or an embedding adapter; supported are LoRA adapters of "
         "linear layers",
         what, key);
  }
  constexpr std::string_view kSaved = ".modules_to_save.";
  if (const std::size_t at = name.find(kSaved); at != std::string_view::npos) {
    // "<module>.modules_to_save.<adapter>.<parameter>"
    const std::string_view rest = name.substr(at + kSaved.size());
    const std::size_t dot = rest.find('.');
    const std::string_view parameter = dot == std::string_view::npos ? rest : rest.substr(dot + 1);
    return {fmt::format("{}.{}", name.substr(0, at), parameter), AdapterKey::Part::kReplacement};
  }
  const bool is_bias = config.has_biases && name.ends_with(".bias");
  if (is_bias || is_saved_module(name, config)) {
    return {std::string(name), AdapterKey::Part::kReplacement};
  }
  fail(
      ErrorCode::kBadFormat,
      "'{}': key '{}' is neither an adapter ('....lora_A.weight', '....lora_B.weight') nor a saved "
      "module of adapter_config.json",
      what, key);
}

void check_pair(const std::string& module, const LoraPair& pair, const AdapterConfig& config,
                std::string_view what) {
  if (!pair.a.is_defined() || !pair.b.is_defined()) {
    fail(ErrorCode::kBadFormat, "'{}': module '{}' has lora_{} but no lora_{}", what, module,
         pair.a.is_defined() ? "A" : "B", pair.a.is_defined() ? "B" : "A");
  }
  const int64_t rank = config.rank_of(module);
  if (pair.a.rank() != 2 || pair.b.rank() != 2 || pair.a.dim(0) != rank || pair.b.dim(1) != rank) {
    fail(ErrorCode::kBadFormat,
         "'{}': module '{}' has lora_A {} and lora_B {}, expected [{}, in] and [out, {}] by "
         "adapter_config.json",
         what, module, to_text(pair.a.shape()), to_text(pair.b.shape()), rank, rank);
  }
}

}  // namespace

LoraWeights read_lora_weights(const TensorSource& source, const AdapterConfig& config,
                              std::string_view what) {
  LoraWeights weights;
  for (const auto& [key, info] : source.tensors()) {
    const AdapterKey parsed = parse_key(key, config, what);
    const std::string name = canonical_name(parsed.module);
    Tensor* place = nullptr;
    if (parsed.part == AdapterKey::Part::kReplacement) {
      place = &weights.replacements[name];
    } else {
      LoraPair& pair = weights.pairs[name];
      place = parsed.part == AdapterKey::Part::kA ? &pair.a : &pair.b;
    }
    if (place->is_defined()) {
      fail(ErrorCode::kBadFormat, "'{}': key '{}' and another mean the same parameter", what, key);
    }
    *place = source.load(key);
  }
  for (auto& [module, pair] : weights.pairs) {
    check_pair(module, pair, config, what);
    pair.scale = static_cast<float>(config.scale_of(module));
  }
  return weights;
}

LoraWeights read_lora_weights(const fs::path& folder, const AdapterConfig& config) {
  const fs::path path = find_adapter_file(folder);
  return read_lora_weights(*open_tensor_file(path), config, path.string());
}

fs::path find_adapter_file(const fs::path& folder) {
  for (const char* name : {"adapter_model.safetensors", "adapter_model.bin"}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  fail(ErrorCode::kNotFound,
       "'{}' has adapter_config.json but neither adapter_model.safetensors nor adapter_model.bin",
       folder.string());
}

std::shared_ptr<const TensorSource> normalize_non_lora_names(
    std::shared_ptr<const TensorSource> source) {
  constexpr std::string_view kBase = "base_model.";
  constexpr std::string_view kModel = "model.";
  const auto without_base = [&](std::string_view key) {
    return key.starts_with(kBase) ? key.substr(kBase.size()) : key;
  };
  bool is_doubled = false;
  for (const auto& [key, info] : source->tensors()) {
    is_doubled |= without_base(key).starts_with("model.model.");
  }
  return rename_source(std::move(source), [=](std::string_view key) -> std::optional<std::string> {
    std::string_view name = without_base(key);
    if (is_doubled && name.starts_with(kModel)) name.remove_prefix(kModel.size());
    return canonical_name(name);
  });
}

std::shared_ptr<const TensorSource> open_non_lora_trainables(const fs::path& folder) {
  const fs::path path = folder / "non_lora_trainables.bin";
  if (!fs::exists(path)) return nullptr;
  return normalize_non_lora_names(open_tensor_file(path));
}

std::shared_ptr<const TensorSource> open_projector_file(const fs::path& folder) {
  const fs::path path = folder / "mm_projector.bin";
  auto source = open_tensor_file(path);
  for (const auto& [key, info] : source->tensors()) {
    if (!canonical_projector_file_name(key)) {
      log_warning("projector_file_key_ignored", {{"file", path.string()}, {"key", key}});
    }
  }
  auto renamed = rename_source(std::move(source), canonical_projector_file_name);
  const auto& tensors = renamed->tensors();
  const auto first = tensors.lower_bound("model.mm_projector.");
  if (first == tensors.end() || !first->first.starts_with("model.mm_projector.")) {
    fail(ErrorCode::kBadFormat, "'{}' holds no projector: no key contains 'mm_projector.'",
         path.string());
  }
  return renamed;
}

}  // namespace llava::checkpoint
