// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "llava/checkpoint/config_values.h"
#include "llava/core/error.h"

namespace llava::checkpoint {
namespace {

using model::DecoderConfig;
using model::DecoderFamily;
using model::RopeConfig;
using model::RopeScaling;

constexpr int64_t kMaxWidth = 1 << 20;

// Defaults of the published configuration classes of transformers.
DecoderConfig family_defaults(DecoderFamily family) {
  DecoderConfig c;
  c.family = family;
  if (family == DecoderFamily::kMistral) {
    c.intermediate_size = 14336;
    c.num_key_value_heads = 8;
    c.max_position_embeddings = 131072;
    c.sliding_window = 4096;
  } else if (family == DecoderFamily::kQwen2) {
    c.vocab_size = 151936;
    c.intermediate_size = 22016;
    c.max_position_embeddings = 32768;
    c.has_qkv_bias = true;
  }
  return c;
}

// Qwen2 windows some layers only, and only when told to.
int32_t qwen2_window(const JsonObject& object, const DecoderConfig& c) {
  if (!object.get_bool("use_sliding_window").value_or(false)) return 0;
  const int32_t window = get_int32(object, "sliding_window", 1, INT32_MAX).value_or(4096);
  const int32_t first = get_int32(object, "max_window_layers", 0, 1024).value_or(28);
  if (first >= c.num_hidden_layers) return 0;
  if (first == 0) return window;
  fail(ErrorCode::kUnsupported,
       "{}: sliding_window applies from layer {} of {} on (max_window_layers); supported are "
       "models that window all layers or none",
       object.source(), first, c.num_hidden_layers);
}

// layer_types, written since transformers 4.54, says the same layer by layer.
int32_t window_of_layer_types(const JsonObject& object, int32_t window) {
  const auto types = object.get_string_list("layer_types");
  if (!types || types->empty()) return window;
  const std::string& first = types->front();
  for (const std::string& type : *types) {
    if (type != first || (type != "full_attention" && type != "sliding_attention")) {
      fail(ErrorCode::kUnsupported,
           "{}: layer_types holds '{}' and '{}'; supported is one of full_attention and "
           "sliding_attention for all layers",
           object.source(), first, type);
    }
  }
  return first == "full_attention" ? 0 : window;
}

int32_t read_window(const JsonObject& object, const DecoderConfig& c) {
  if (c.family == DecoderFamily::kLlama) return 0;
  int32_t window = c.sliding_window;
  if (c.family == DecoderFamily::kQwen2) {
    window = qwen2_window(object, c);
  } else if (object.json().contains("sliding_window")) {
    // Null is a value here: no window, while an absent key means the class default.
    window = get_int32(object, "sliding_window", 1, INT32_MAX).value_or(0);
  }
  return window_of_layer_types(object, window);
}

double positive(const JsonObject& object, std::string_view key, double absent) {
  const double value = object.get_number(key).value_or(absent);
  if (!std::isfinite(value) || value <= 0.0) object.wrong_type(key, "a positive number");
  return value;
}

void read_scaling(const JsonObject& object, RopeConfig& rope) {
  const std::string type =
      object.get_string("rope_type").value_or(object.get_string("type").value_or("default"));
  if (type == "default") return;
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "dynamic") {
    rope.scaling = RopeScaling::kDynamic;
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::kLlama3;
  } else {
    fail(ErrorCode::kUnsupported,
         "{}: rope scaling of type '{}'; supported are default, linear, dynamic and llama3",
         object.source(), type);
  }
  if (!object.has("factor")) object.wrong_type("factor", "a number of at least 1");
  rope.factor = positive(object, "factor", 1.0);
  if (rope.factor < 1.0) object.wrong_type("factor", "a number of at least 1");
  if (rope.scaling == RopeScaling::kLlama3) {
    for (const std::string_view key :
         {"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
      if (!object.has(key)) object.wrong_type(key, "a positive number");
    }
    rope.low_freq_factor = positive(object, "low_freq_factor", 1.0);
    rope.high_freq_factor = positive(object, "high_freq_factor", 4.0);
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      object.wrong_type("high_freq_factor", "a number above low_freq_factor");
    }
  }
  rope.original_max_position_embeddings =
      get_int32(object, "original_max_position_embeddings", 1, INT32_MAX).value_or(0);
}

}  // namespace

RopeConfig read_rope_config(const JsonObject& object) {
  RopeConfig rope;
  rope.theta = positive(object, "rope_theta", rope.theta);
  if (const Json* scaling = object.find("rope_scaling")) {
    const JsonObject settings(*scaling, object.source() + ": rope_scaling");
    read_scaling(settings, rope);
  }
  if (const Json* parameters = object.find("rope_parameters")) {
    const JsonObject settings(*parameters, object.source() + ": rope_parameters");
    for (const auto& [key, value] : parameters->items()) {
      if (value.is_object()) {
        fail(ErrorCode::kUnsupported,
             "{} holds settings of its own for '{}'; supported is one set for all layers",
             settings.source(), key);
      }
    }
    rope.theta = positive(settings, "rope_theta", rope.theta);
    read_scaling(settings, rope);
  }
  return rope;
}

DecoderConfig read_decoder_config(const JsonObject& object, DecoderFamily family) {
  DecoderConfig c = family_defaults(family);
  const auto set = [&](std::string_view key, int32_t& value, int64_t low, int64_t high) {
    value = get_int32(object, key, low, high).value_or(value);
  };
  set("vocab_size", c.vocab_size, 1, 1 << 24);
  set("hidden_size", c.hidden_size, 1, kMaxWidth);
  set("intermediate_size", c.intermediate_size, 1, kMaxWidth);
  set("num_hidden_layers", c.num_hidden_layers, 1, 1024);
  set("num_attention_heads", c.num_attention_heads, 1, 4096);
  // Null means "as many as query heads"; absent too, except for Mistral's class default.
  if (family != DecoderFamily::kMistral || object.json().contains("num_key_value_heads")) {
    c.num_key_value_heads = c.num_attention_heads;
  }
  set("num_key_value_heads", c.num_key_value_heads, 1, 4096);
  c.head_dim =
      get_int32(object, "head_dim", 1, 1 << 16).value_or(c.hidden_size / c.num_attention_heads);
  set("max_position_embeddings", c.max_position_embeddings, 1, INT32_MAX);
  c.rms_norm_eps = static_cast<float>(positive(object, "rms_norm_eps", 1e-6));
  c.rope = read_rope_config(object);
  if (family == DecoderFamily::kLlama) {
    c.has_qkv_bias = object.get_bool("attention_bias").value_or(false);
    c.has_output_bias = c.has_qkv_bias;
  }
  c.is_head_tied = object.get_bool("tie_word_embeddings").value_or(false);
  c.sliding_window = read_window(object, c);

  if (read_activation(object, "hidden_act", Activation::kSilu) != Activation::kSilu) {
    fail(ErrorCode::kUnsupported, "{}: the language model's hidden_act is '{}'; supported is silu",
         object.source(), *object.get_string("hidden_act"));
  }
  if (object.get_number("partial_rotary_factor").value_or(1.0) != 1.0) {
    fail(ErrorCode::kUnsupported, "{}: partial_rotary_factor is {}; supported is 1",
         object.source(), *object.get_number("partial_rotary_factor"));
  }
  if (object.get_bool("mlp_bias").value_or(false)) {
    fail(ErrorCode::kUnsupported, "{}: mlp_bias is true; supported are models without it",
         object.source());
  }
  return c;
}

}  // namespace llava::checkpoint
