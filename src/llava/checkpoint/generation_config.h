// SPDX-License-Identifier: Apache-2.0
//
// The decoding defaults a checkpoint publishes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>
#include <vector>

namespace llava::checkpoint {

/// Decoding defaults; what the files do not say is not set, and the caller's or the library's
/// default applies.
struct GenerationDefaults {
  std::optional<bool> do_sample;
  std::optional<double> temperature;
  std::optional<int32_t> top_k;
  std::optional<double> top_p;
  std::optional<int32_t> num_beams;
  std::optional<double> repetition_penalty;
  std::optional<double> length_penalty;
  std::optional<bool> early_stopping;
  std::optional<int32_t> max_length;
  std::optional<int32_t> max_new_tokens;
  std::optional<int32_t> bos_token_id;
  std::vector<int32_t> eos_token_ids;
  std::optional<int32_t> pad_token_id;
};

/// Reads generation_config.json or, where there is none, the same keys of config.json (top level,
/// then text_config). A folder with neither gives nothing.
///
/// Throws: Error(kBadFormat) naming file and key for a value of the wrong type or range.
/// Source: transformers `GenerationConfig`.
GenerationDefaults read_generation_defaults(const std::filesystem::path& folder);

/// The same from parsed JSON; `source` names it in messages.
GenerationDefaults read_generation_defaults(const nlohmann::json& json, std::string_view source);

/// A generation_config.json that transformers agrees to write: settings of sampling without
/// do_sample, as Vicuna 1.5 publishes them, get it. Its validator would refuse the whole save.
///
/// Source: transformers 4.37 `GenerationConfig.validate`.
nlohmann::ordered_json consistent_generation_config(nlohmann::ordered_json json);

}  // namespace llava::checkpoint
