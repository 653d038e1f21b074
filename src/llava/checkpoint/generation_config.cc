// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/generation_config.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "llava/checkpoint/config_values.h"
#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;

std::optional<double> get_finite(const JsonObject& object, std::string_view key, double low,
                                 double high) {
  const auto value = object.get_number(key);
  if (value && !(std::isfinite(*value) && *value >= low && *value <= high)) {
    object.wrong_type(key, fmt::format("a number from {} to {}", low, high));
  }
  return value;
}

std::optional<int32_t> first_id(const JsonObject& object, std::string_view key) {
  const auto ids = get_ids(object, key);
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

// Early stopping may be the word "never"; it means: not early.
std::optional<bool> get_early_stopping(const JsonObject& object) {
  const Json* value = object.find("early_stopping");
  if (value != nullptr && value->is_string() && value->get_ref<const std::string&>() == "never") {
    return false;
  }
  return object.get_bool("early_stopping");
}

}  // namespace

GenerationDefaults read_generation_defaults(const Json& json, std::string_view source) {
  const JsonObject object(json, source);
  GenerationDefaults d;
  d.do_sample = object.get_bool("do_sample");
  d.temperature = get_finite(object, "temperature", 0.0, 1e6);
  d.top_k = get_int32(object, "top_k", 0, INT32_MAX);
  d.top_p = get_finite(object, "top_p", 0.0, 1.0);
  d.num_beams = get_int32(object, "num_beams", 1, 1024);
  d.repetition_penalty = get_finite(object, "repetition_penalty", 1e-6, 1e6);
  d.length_penalty = get_finite(object, "length_penalty", -1e6, 1e6);
  d.early_stopping = get_early_stopping(object);
  d.max_length = get_int32(object, "max_length", 1, INT32_MAX);
  d.max_new_tokens = get_int32(object, "max_new_tokens", 1, INT32_MAX);
  d.bos_token_id = first_id(object, "bos_token_id");
  d.eos_token_ids = get_ids(object, "eos_token_id");
  d.pad_token_id = first_id(object, "pad_token_id");
  return d;
}

GenerationDefaults read_generation_defaults(const fs::path& folder) {
  constexpr uint64_t kMaxBytes = 16u << 20;
  const fs::path path = folder / "generation_config.json";
  if (fs::exists(path)) {
    return read_generation_defaults(read_json_file(path, kMaxBytes),
                                    fmt::format("'{}'", path.string()));
  }
  const fs::path config = folder / "config.json";
  if (!fs::exists(config)) return {};
  Json json = read_json_file(config, kMaxBytes);
  if (json.is_object() && json.contains("text_config") && json["text_config"].is_object()) {
    for (const auto& [key, value] : json["text_config"].items()) {
      if (!json.contains(key) || json[key].is_null()) json[key] = value;
    }
  }
  return read_generation_defaults(json, fmt::format("'{}'", config.string()));
}

OrderedJson consistent_generation_config(OrderedJson json) {
  struct Setting {
    const char* key;
    double neutral;
  };
  constexpr std::array kSampling{Setting{"temperature", 1.0},    Setting{"top_p", 1.0},
                                 Setting{"top_k", 50.0},         Setting{"typical_p", 1.0},
                                 Setting{"epsilon_cutoff", 0.0}, Setting{"eta_cutoff", 0.0}};
  const auto is_set = [&](const Setting& setting) {
    return json.contains(setting.key) && json[setting.key].is_number() &&
           json[setting.key].get<double>() != setting.neutral;
  };
  if (!json.is_object() || !std::ranges::any_of(kSampling, is_set)) return json;
  if (json.value("do_sample", OrderedJson()) != true) json["do_sample"] = true;
  return json;
}

}  // namespace llava::checkpoint
