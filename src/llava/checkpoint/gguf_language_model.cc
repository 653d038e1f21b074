// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf_language_model.h"

#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace llava::checkpoint {
namespace {

using model::DecoderConfig;
using model::DecoderFamily;
using model::RopeConfig;
using model::RopeScaling;

struct NamePair {
  std::string_view gguf;
  std::string_view original;
};

constexpr std::array<NamePair, 3> kGlobalNames = {{
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
}};

constexpr std::array<NamePair, 9> kLayerNames = {{
    {"attn_norm.", "input_layernorm."},
    {"ffn_norm.", "post_attention_layernorm."},
    {"attn_q.", "self_attn.q_proj."},
    {"attn_k.", "self_attn.k_proj."},
    {"attn_v.", "self_attn.v_proj."},
    {"attn_output.", "self_attn.o_proj."},
    {"ffn_gate.", "mlp.gate_proj."},
    {"ffn_up.", "mlp.up_proj."},
    {"ffn_down.", "mlp.down_proj."},
}};

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; unknown names stay.
std::string original_name(std::string_view name) {
  for (const NamePair& pair : kGlobalNames) {
    if (name == pair.gguf) return std::string(pair.original);
  }
  if (name.starts_with("blk.")) {
    const std::string_view rest = name.substr(4);
    const std::size_t dot = rest.find('.');
    if (dot != std::string_view::npos) {
      const std::string_view leaf = rest.substr(dot + 1);
      for (const NamePair& pair : kLayerNames) {
        if (leaf.starts_with(pair.gguf)) {
          return fmt::format("model.layers.{}.{}{}", rest.substr(0, dot), pair.original,
                             leaf.substr(pair.gguf.size()));
        }
      }
    }
  }
  return std::string(name);
}

// Row i of the result is row order[i] of the file: within a head, rows 2j and 2j+1 of the file are
// rows j and j + d/2 of the original.
std::vector<int64_t> unpermuted_rows(int64_t num_heads, int64_t head_dim) {
  std::vector<int64_t> order(static_cast<std::size_t>(num_heads * head_dim));
  const int64_t half = head_dim / 2;
  for (int64_t head = 0; head < num_heads; ++head) {
    for (int64_t j = 0; j < half; ++j) {
      const int64_t base = head * head_dim;
      order[static_cast<std::size_t>(base + j)] = base + 2 * j;
      order[static_cast<std::size_t>(base + half + j)] = base + 2 * j + 1;
    }
  }
  return order;
}

class GgufLanguageModel final : public TensorSource {
 public:
  explicit GgufLanguageModel(std::shared_ptr<const GgufFile> file) : file_(std::move(file)) {
    const DecoderConfig config = read_gguf_decoder_config(*file_);
    const bool is_permuted = config.family == DecoderFamily::kLlama;
    for (const auto& [name, info] : file_->tensors()) {
      if (name == "rope_freqs.weight") continue;  // read into the configuration
      TensorInfo renamed = info;
      renamed.name = original_name(name);
      int32_t heads = 0;
      if (is_permuted && renamed.name != name) {
        if (name.find(".attn_q.") != std::string::npos) heads = config.num_attention_heads;
        if (name.find(".attn_k.") != std::string::npos) heads = config.num_key_value_heads;
      }
      const int64_t rows = static_cast<int64_t>(heads) * config.head_dim;
      if (heads > 0 && (info.shape.empty() || info.shape[0] != rows)) {
        fail(ErrorCode::kBadFormat,
             "'{}': tensor '{}' has shape {}, expected {} rows ({} heads of {})", file_->name(),
             name, to_text(info.shape), rows, heads, config.head_dim);
      }
      entries_[renamed.name] = {name, heads};
      if (!tensors_.emplace(renamed.name, renamed).second) {
        fail(ErrorCode::kBadFormat, "'{}': two tensors mean '{}'", file_->name(), renamed.name);
      }
    }
    head_dim_ = config.head_dim;
  }

  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }

  Tensor load(const std::string& name) const override {
    const auto it = entries_.find(name);
    if (it == entries_.end()) {
      fail(ErrorCode::kNotFound, "'{}' has no tensor '{}'", file_->name(), name);
    }
    const auto& [stored_name, heads] = it->second;
    if (heads == 0) return file_->load(stored_name);
    return file_->load_rows(stored_name, unpermuted_rows(heads, head_dim_));
  }

 private:
  struct Entry {
    std::string stored_name;
    int32_t permuted_heads = 0;  // 0: rows are in order
  };

  std::shared_ptr<const GgufFile> file_;
  int32_t head_dim_ = 0;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, Entry> entries_;
};

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

std::optional<int32_t> read_id(const GgufFile& file, const std::string& key, std::size_t size) {
  const auto id = file.get_int(key);
  // 2^32 - 1 and -1 are how converters write "none".
  if (!id || *id == -1 || *id == 0xFFFFFFFF) return std::nullopt;
  if (*id < 0 || static_cast<uint64_t>(*id) >= size) {
    fail(ErrorCode::kBadFormat, "'{}': metadata key '{}' is {}, expected an id below {}",
         file.name(), key, *id, size);
  }
  return static_cast<int32_t>(*id);
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

GgufVocabularyData read_gguf_vocabulary(const GgufFile& file) {
  GgufVocabularyData v;
  const std::string prefix = "tokenizer.ggml.";
  auto tokens = file.get_string_list(prefix + "tokens");
  if (!tokens) {
    fail(ErrorCode::kNotFound, "'{}' has no vocabulary (metadata key 'tokenizer.ggml.tokens')",
         file.name());
  }
  v.tokens = std::move(*tokens);
  v.model = file.get_string(prefix + "model").value_or("llama");
  v.pre = file.get_string(prefix + "pre").value_or("");
  v.scores = file.get_float_list(prefix + "scores").value_or(std::vector<float>());
  v.merges = file.get_string_list(prefix + "merges").value_or(std::vector<std::string>());
  if (const auto types = file.get_int_list(prefix + "token_type")) {
    for (const int64_t type : *types) {
      v.types.push_back(type >= 0 && type <= 6 ? static_cast<int32_t>(type) : 0);
    }
  }
  const auto check_count = [&](std::string_view what, std::size_t count) {
    if (count != 0 && count != v.tokens.size()) {
      fail(ErrorCode::kBadFormat, "'{}': {}{} has {} entries, expected {} as for its tokens",
           file.name(), prefix, what, count, v.tokens.size());
    }
  };
  check_count("scores", v.scores.size());
  check_count("token_type", v.types.size());
  v.bos_id = read_id(file, prefix + "bos_token_id", v.tokens.size());
  v.eos_id = read_id(file, prefix + "eos_token_id", v.tokens.size());
  v.unk_id = read_id(file, prefix + "unknown_token_id", v.tokens.size());
  v.pad_id = read_id(file, prefix + "padding_token_id", v.tokens.size());
  v.add_bos = file.get_bool(prefix + "add_bos_token");
  v.add_eos = file.get_bool(prefix + "add_eos_token");
  v.add_space_prefix = file.get_bool(prefix + "add_space_prefix");
  v.chat_template = file.get_string("tokenizer.chat_template").value_or("");
  return v;
}

std::shared_ptr<const TensorSource> gguf_language_model(std::shared_ptr<const GgufFile> file) {
  return std::make_shared<const GgufLanguageModel>(std::move(file));
}

}  // namespace llava::checkpoint
