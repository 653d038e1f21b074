// SPDX-License-Identifier: Apache-2.0
//
// How to answer, in the names of OpenAI's API and the extensions of vLLM and SGLang: what chat and
// text completions share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llava/serve/protocol/field_reader.h"
#include "llava/text/grammar/output_format.h"

namespace llava::serve {

/// At and below it the most likely token is taken, as the original does.
inline constexpr float kLeastTemperature = 0.001f;

/// What the operator allows.
struct GenerationLimits {
  int32_t max_choices = 8;
  int32_t default_max_tokens = 4096;
};

/// Settings as they were sent; what is absent takes the front end's default (docs/http_api.md).
struct GenerationFields {
  std::optional<int32_t> max_tokens;
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<int32_t> top_k;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  int32_t min_tokens = 0;
  bool ignore_eos = false;
  bool includes_stop_string = false;
  bool skips_special_tokens = true;
  int32_t num_choices = 1;
  int32_t priority = 0;
  std::string cache_salt;
  std::optional<text::grammar::OutputFormat> format;
  bool is_streamed = false;
  bool includes_usage = false;
  bool has_continuous_usage = false;
  bool has_timings = false;
};

/// Reads them out of a request.
///
/// Throws: ApiError naming the field.
GenerationFields read_generation_fields(FieldReader& reader, const GenerationLimits& limits);

}  // namespace llava::serve
