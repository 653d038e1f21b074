// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/adapter_config.h"

#include <cmath>

#include "llava/checkpoint/config_values.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/log.h"

namespace llava::checkpoint {
namespace {

constexpr int32_t kMaxRank = 1 << 16;

// PEFT's rule for patterns without regular-expression signs: the whole path or its end after a dot.
bool matches(std::string_view pattern, std::string_view module) {
  if (pattern.starts_with('^')) return module == pattern.substr(1);
  if (!module.ends_with(pattern)) return false;
  return module.size() == pattern.size() || module[module.size() - pattern.size() - 1] == '.';
}

template <class T>
T value_of(const std::map<std::string, T>& patterns, std::string_view module, T otherwise) {
  for (const auto& [pattern, value] : patterns) {
    if (matches(pattern, module)) return value;
  }
  return otherwise;
}

void expect_plain_pattern(const JsonObject& config, std::string_view key,
                          const std::string& pattern) {
  if (pattern.find_first_of("*+?[](){}|\\$") == std::string::npos) return;
  fail(ErrorCode::kUnsupported,
       "{}: key '{}' holds the regular expression '{}'; supported are module names and their ends",
       config.source(), key, pattern);
}

void read_patterns(const JsonObject& config, AdapterConfig& adapter) {
  if (const Json* ranks = config.find("rank_pattern")) {
    const JsonObject object(*ranks, config.source() + ": rank_pattern");
    for (const auto& [pattern, value] : ranks->items()) {
      expect_plain_pattern(config, "rank_pattern", pattern);
      const auto rank = get_int32(object, pattern, 1, kMaxRank);
      if (rank) adapter.rank_pattern[pattern] = *rank;
    }
  }
  if (const Json* alphas = config.find("alpha_pattern")) {
    const JsonObject object(*alphas, config.source() + ": alpha_pattern");
    for (const auto& [pattern, value] : alphas->items()) {
      expect_plain_pattern(config, "alpha_pattern", pattern);
      const auto alpha = object.get_number(pattern);
      if (alpha) adapter.alpha_pattern[pattern] = *alpha;
    }
  }
}

void refuse_other_kinds(const JsonObject& config) {
  const std::string type = config.get_string("peft_type").value_or("LORA");
  if (type != "LORA") {
    fail(ErrorCode::kUnsupported, "{}: peft_type is '{}'; supported is LORA", config.source(),
         type);
  }
  if (config.get_bool("use_dora").value_or(false)) {
    fail(ErrorCode::kUnsupported,
         "{}: use_dora is true (weight-decomposed adapters); supported are plain LoRA adapters: "
         "merge it with PEFT first",
         config.source());
  }
  const Json* replication = config.find("layer_replication");
  if (replication != nullptr && !replication->empty()) {
    fail(ErrorCode::kUnsupported, "{}: layer_replication is set; supported are models without it",
         config.source());
  }
}

}  // namespace

int32_t AdapterConfig::rank_of(std::string_view module) const {
  return value_of(rank_pattern, module, r);
}

double AdapterConfig::scale_of(std::string_view module) const {
  const double rank = rank_of(module);
  return value_of(alpha_pattern, module, lora_alpha) / (use_rslora ? std::sqrt(rank) : rank);
}

AdapterConfig read_adapter_config(const Json& json, std::string_view source) {
  const JsonObject config(json, source);
  refuse_other_kinds(config);
  AdapterConfig adapter;
  adapter.r = get_int32(config, "r", 1, kMaxRank).value_or(adapter.r);
  adapter.lora_alpha = config.get_number("lora_alpha").value_or(adapter.lora_alpha);
  if (!std::isfinite(adapter.lora_alpha)) config.wrong_type("lora_alpha", "a finite number");
  adapter.use_rslora = config.get_bool("use_rslora").value_or(false);
  read_patterns(config, adapter);
  if (const Json* targets = config.find("target_modules")) {
    if (targets->is_string()) {
      adapter.target_pattern = targets->get<std::string>();
    } else {
      adapter.target_modules = *config.get_string_list("target_modules");
    }
  }
  adapter.modules_to_save =
      config.get_string_list("modules_to_save").value_or(std::vector<std::string>());
  const std::string bias = config.get_string("bias").value_or("none");
  if (bias != "none" && bias != "all" && bias != "lora_only") {
    config.wrong_type("bias", "none, all or lora_only");
  }
  adapter.has_biases = bias != "none";
  adapter.base_model = config.get_string("base_model_name_or_path").value_or("");
  adapter.base_weights_sha256 = config.get_string("base_weights_sha256").value_or("");
  if (config.get_bool("fan_in_fan_out").value_or(false)) {
    // It speaks of base layers stored as [in, out]; PEFT itself turns it off for linear layers.
    log_warning("fan_in_fan_out_ignored", {{"file", config.source()}});
  }
  return adapter;
}

AdapterConfig read_adapter_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "adapter_config.json";
  return read_adapter_config(read_json_file(path, 16u << 20), fmt::format("'{}'", path.string()));
}

}  // namespace llava::checkpoint
