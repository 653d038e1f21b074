// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>

#include "llava/checkpoint/gguf_language_model.h"

namespace llava::checkpoint {
namespace {

using model::DecoderConfig;
using model::DecoderFamily;
using model::RopeConfig;
using model::RopeScaling;

// Integer metadata within a range; required unless `absent` is given.
int32_t read_int(const GgufFile& file, const std::string& key, int64_t high,
                 std::optional<int64_t> absent = std::nullopt) {
  auto value = file.get_int(key);
  if (!value) value = absent;
  if (!value || *value < 1 || *value > high) {
    fail(ErrorCode::kBadFormat, "'{}': metadata key '{}' is {}, expected an integer from 1 to {}",
         file.name(), key, value ? std::to_string(*value) : "absent", high);
  }
  return static_cast<int32_t>(*value);
}

double read_positive(const GgufFile& file, const std::string& key, double absent) {
  const double value = file.get_number(key).value_or(absent);
  if (!std::isfinite(value) || value <= 0.0) {
    fail(ErrorCode::kBadFormat, "'{}': metadata key '{}' is {}, expected a positive number",
         file.name(), key, value);
  }
  return value;
}

// Divisor of frequency i under Llama 3's rule.
double llama3_divisor(const RopeConfig& rope, int32_t i, int32_t head_dim) {
  const double frequency = std::pow(rope.theta, -2.0 * i / head_dim);
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const double original = rope.original_max_position_embeddings;
  if (wavelength < original / rope.high_freq_factor) return 1.0;
  if (wavelength > original / rope.low_freq_factor) return rope.factor;
  const double smooth = (original / wavelength - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return 1.0 / ((1.0 - smooth) / rope.factor + smooth);
}

// llama.cpp keeps Llama 3's scaling as one divisor per frequency and drops its parameters. They are
// recovered by trying the published ones and comparing every divisor.
void recover_llama3_scaling(const GgufFile& file, const std::string& architecture,
                            DecoderConfig& c) {
  const Tensor table = host_to_float32(file.load("rope_freqs.weight"));
  const std::span<const float> divisors = table.data<float>();
  if (static_cast<int64_t>(divisors.size()) != c.head_dim / 2) {
    fail(ErrorCode::kBadFormat, "'{}': rope_freqs.weight has {} values, expected {}", file.name(),
         divisors.size(), c.head_dim / 2);
  }
  float largest = 1.0f;
  bool is_plain = true;
  for (const float divisor : divisors) {
    largest = std::max(largest, divisor);
    is_plain &= divisor == 1.0f;
  }
  if (is_plain) return;
  const auto declared =
      file.get_int(architecture + ".rope.scaling.original_context_length").value_or(8192);
  for (const int64_t original : {declared, int64_t{8192}}) {
    RopeConfig rope = c.rope;
    rope.scaling = RopeScaling::kLlama3;
    rope.factor = static_cast<double>(largest);
    rope.original_max_position_embeddings = static_cast<int32_t>(original);
    bool agrees = original > 0 && original <= INT32_MAX;
    for (std::size_t i = 0; agrees && i < divisors.size(); ++i) {
      const double expected = llama3_divisor(rope, static_cast<int32_t>(i), c.head_dim);
      agrees = std::fabs(static_cast<double>(divisors[i]) - expected) <= 1e-4 * expected;
    }
    if (agrees) {
      c.rope = rope;
      return;
    }
  }
  fail(ErrorCode::kUnsupported,
       "'{}': rope_freqs.weight follows none of the published Llama 3 scalings (factors 1 and 4, "
       "original context 8192)",
       file.name());
}

void read_rope(const GgufFile& file, const std::string& architecture, DecoderConfig& c) {
  c.rope.theta = read_positive(file, architecture + ".rope.freq_base", 10000.0);
  const std::string type = file.get_string(architecture + ".rope.scaling.type").value_or("none");
  double factor = read_positive(file, architecture + ".rope.scaling.factor", 1.0);
  if (const auto legacy = file.get_number(architecture + ".rope.scale_linear")) factor = *legacy;
  if (type != "none" && type != "linear") {
    fail(ErrorCode::kUnsupported,
         "'{}': rope scaling of type '{}'; supported are none, linear and Llama 3's", file.name(),
         type);
  }
  if (factor < 1.0 || !std::isfinite(factor)) {
    fail(ErrorCode::kBadFormat, "'{}': rope scaling factor is {}, expected at least 1", file.name(),
         factor);
  }
  if (factor > 1.0) {
    c.rope.scaling = RopeScaling::kLinear;
    c.rope.factor = factor;
  }
  if (file.tensors().contains("rope_freqs.weight")) recover_llama3_scaling(file, architecture, c);
}

// One number, or one per layer; only equal ones make a plain transformer.
int32_t read_kv_heads(const GgufFile& file, const std::string& key, int32_t num_heads) {
  if (!file.is_array(key)) return read_int(file, key, num_heads, num_heads);
  const std::vector<int64_t> list = *file.get_int_list(key);
  for (const int64_t heads : list) {
    if (heads != list.front() || heads < 1 || heads > num_heads) {
      fail(ErrorCode::kUnsupported,
           "'{}': metadata key '{}' differs between layers; supported is one number", file.name(),
           key);
    }
  }
  return list.empty() ? num_heads : static_cast<int32_t>(list.front());
}

}  // namespace

DecoderConfig read_gguf_decoder_config(const GgufFile& file) {
  constexpr int64_t kMaxWidth = 1 << 20;
  const std::string a = file.get_string("general.architecture").value_or("");
  if (a != "llama" && a != "qwen2") {
    fail(ErrorCode::kUnsupported,
         "'{}': general.architecture is '{}'; supported are llama and qwen2", file.name(), a);
  }
  if (file.get_int(a + ".expert_count").value_or(0) > 0) {
    fail(ErrorCode::kUnsupported, "'{}' is a mixture of {} experts; supported are dense models",
         file.name(), *file.get_int(a + ".expert_count"));
  }
  DecoderConfig c;
  c.family = a == "qwen2" ? DecoderFamily::kQwen2 : DecoderFamily::kLlama;
  c.hidden_size = read_int(file, a + ".embedding_length", kMaxWidth);
  c.intermediate_size = read_int(file, a + ".feed_forward_length", kMaxWidth);
  c.num_hidden_layers = read_int(file, a + ".block_count", 1024);
  c.num_attention_heads = read_int(file, a + ".attention.head_count", 4096);
  c.num_key_value_heads =
      read_kv_heads(file, a + ".attention.head_count_kv", c.num_attention_heads);
  c.head_dim =
      read_int(file, a + ".attention.key_length", 4096, c.hidden_size / c.num_attention_heads);
  c.max_position_embeddings = read_int(file, a + ".context_length", 1 << 30);
  c.rms_norm_eps =
      static_cast<float>(read_positive(file, a + ".attention.layer_norm_rms_epsilon", 1e-6));
  if (file.has(a + ".attention.sliding_window")) {
    c.sliding_window = read_int(file, a + ".attention.sliding_window", 1 << 30);
  }
  for (const std::string& key : {a + ".rope.dimension_count", a + ".attention.value_length"}) {
    if (read_int(file, key, 1 << 20, c.head_dim) != c.head_dim) {
      fail(ErrorCode::kUnsupported, "'{}': {} is {}; supported is the width of a head, {}",
           file.name(), key, *file.get_int(key), c.head_dim);
    }
  }

  const auto& tensors = file.tensors();
  const auto embedding = tensors.find("token_embd.weight");
  if (embedding == tensors.end() || embedding->second.shape.size() != 2 ||
      embedding->second.shape[0] > (1 << 24) || embedding->second.shape[0] < 1) {
    fail(ErrorCode::kBadFormat, "'{}' has no embedding table 'token_embd.weight' of two dimensions",
         file.name());
  }
  c.vocab_size = static_cast<int32_t>(embedding->second.shape[0]);
  c.is_head_tied = !tensors.contains("output.weight");
  c.has_qkv_bias = c.family == DecoderFamily::kQwen2 || tensors.contains("blk.0.attn_q.bias");
  c.has_output_bias = tensors.contains("blk.0.attn_output.bias");
  read_rope(file, a, c);
  return c;
}

}  // namespace llava::checkpoint
