// SPDX-License-Identifier: Apache-2.0
//
// adapter_config.json of a LoRA directory, as PEFT writes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace llava::checkpoint {

struct AdapterConfig {
  int32_t r = 8;
  double lora_alpha = 8.0;
  bool use_rslora = false;
  /// Ranks and alphas of single modules: a module's path, or the end of one ("q_proj",
  /// "layers.0.mlp.up_proj"); a leading '^' asks for the whole path.
  std::map<std::string, int32_t> rank_pattern;
  std::map<std::string, double> alpha_pattern;
  std::vector<std::string> target_modules;  ///< leaf names; empty when given as a pattern
  std::string target_pattern;               ///< target_modules given as one string
  std::vector<std::string> modules_to_save;
  bool has_biases = false;          ///< `bias` is "all" or "lora_only"
  std::string base_model;           ///< base_model_name_or_path
  std::string base_weights_sha256;  ///< as found; see weights_hash.h

  /// Rank that the adapter of `module` must have.
  int32_t rank_of(std::string_view module) const;
  /// Factor on B*A for `module`: alpha / r, or alpha / sqrt(r) with use_rslora.
  double scale_of(std::string_view module) const;
};

/// Reads folder/adapter_config.json.
///
/// Throws: Error(kNotFound), Error(kBadFormat) naming the key; Error(kUnsupported) for DoRA,
/// adapters that are no LoRA, replicated layers and patterns that are regular expressions.
AdapterConfig read_adapter_config(const std::filesystem::path& folder);

/// The same from parsed JSON; `source` names it in messages.
AdapterConfig read_adapter_config(const nlohmann::json& json, std::string_view source);

}  // namespace llava::checkpoint
