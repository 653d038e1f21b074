// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <optional>
#include <string>

#include "llava/checkpoint/gguf_language_model.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

using model::DecoderConfig;
using model::DecoderFamily;
using model::RopeConfig;
using model::RopeScaling;

// GGUF knows linear and Llama 3's scaling alone.
Json scaling_json(const RopeConfig& rope) {
  Json json;
  if (rope.scaling == RopeScaling::kNone) return json;
  const bool is_llama3 = rope.scaling == RopeScaling::kLlama3;
  json["rope_type"] = is_llama3 ? "llama3" : "linear";
  json["factor"] = rope.factor;
  if (is_llama3) {
    json["low_freq_factor"] = rope.low_freq_factor;
    json["high_freq_factor"] = rope.high_freq_factor;
    json["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  }
  return json;
}

}  // namespace

Json gguf_config_json(const GgufFile& file) {
  const DecoderConfig c = read_gguf_decoder_config(file);
  const bool is_qwen2 = c.family == DecoderFamily::kQwen2;
  if (c.has_output_bias != (is_qwen2 ? false : c.has_qkv_bias)) {
    fail(ErrorCode::kUnsupported,
         "'{}' has biases at some of the attention's layers; a llama's configuration has them at "
         "all four or none, a qwen2's at queries, keys and values",
         file.name());
  }
  Json json = {{"architectures", {is_qwen2 ? "Qwen2ForCausalLM" : "LlamaForCausalLM"}},
               {"model_type", is_qwen2 ? "qwen2" : "llama"},
               {"vocab_size", c.vocab_size},
               {"hidden_size", c.hidden_size},
               {"intermediate_size", c.intermediate_size},
               {"num_hidden_layers", c.num_hidden_layers},
               {"num_attention_heads", c.num_attention_heads},
               {"num_key_value_heads", c.num_key_value_heads},
               {"head_dim", c.head_dim},
               {"hidden_act", "silu"},
               {"max_position_embeddings", c.max_position_embeddings},
               // The shortest text of the float, not its digits as a double.
               {"rms_norm_eps", std::stod(fmt::format("{}", c.rms_norm_eps))},
               {"rope_theta", c.rope.theta},
               {"rope_scaling", scaling_json(c.rope)},
               {"tie_word_embeddings", c.is_head_tied}};
  if (!is_qwen2) json["attention_bias"] = c.has_qkv_bias;
  if (c.sliding_window > 0) {
    json["sliding_window"] = c.sliding_window;
    if (is_qwen2) json["use_sliding_window"] = true;
  }
  const GgufVocabularyData vocabulary = read_gguf_vocabulary(file);
  const auto set = [&](const char* key, const std::optional<int32_t>& id) {
    if (id) json[key] = *id;
  };
  set("bos_token_id", vocabulary.bos_id);
  set("eos_token_id", vocabulary.eos_id);
  set("pad_token_id", vocabulary.pad_id);
  return json;
}

}  // namespace llava::checkpoint
