// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/quantize/store_folder.h"

#include <string_view>

#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/engine/checkpoint_files.h"
#include "llava/engine/checkpoint_weights.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::Layout;
using model::DecoderConfig;
using model::DecoderFamily;
using model::RopeScaling;

constexpr std::string_view kTowerFolder = "vision_tower";

// config.json of a language model that came without one.
OrderedJson config_of_decoder(const checkpoint::CheckpointDescription& description) {
  const DecoderConfig& c = description.config.decoder;
  OrderedJson json;
  switch (c.family) {
    case DecoderFamily::kLlama:
      json["architectures"] = {"LlamaForCausalLM"};
      json["model_type"] = "llama";
      break;
    case DecoderFamily::kMistral:
      json["architectures"] = {"MistralForCausalLM"};
      json["model_type"] = "mistral";
      break;
    case DecoderFamily::kQwen2:
      json["architectures"] = {"Qwen2ForCausalLM"};
      json["model_type"] = "qwen2";
      json["use_sliding_window"] = c.sliding_window > 0;
      json["max_window_layers"] = 0;
      break;
  }
  json["vocab_size"] = c.vocab_size;
  json["hidden_size"] = c.hidden_size;
  json["intermediate_size"] = c.intermediate_size;
  json["num_hidden_layers"] = c.num_hidden_layers;
  json["num_attention_heads"] = c.num_attention_heads;
  json["num_key_value_heads"] = c.num_key_value_heads;
  json["head_dim"] = c.head_dim;
  json["hidden_act"] = "silu";
  json["max_position_embeddings"] = c.max_position_embeddings;
  json["rms_norm_eps"] = double{c.rms_norm_eps};
  json["rope_theta"] = c.rope.theta;
  json["attention_bias"] = c.has_qkv_bias;
  json["sliding_window"] = c.sliding_window > 0 ? OrderedJson(c.sliding_window) : OrderedJson();
  if (c.rope.scaling != RopeScaling::kNone) {
    OrderedJson& scaling = json["rope_scaling"];
    scaling["rope_type"] = c.rope.scaling == RopeScaling::kLinear    ? "linear"
                           : c.rope.scaling == RopeScaling::kDynamic ? "dynamic"
                                                                     : "llama3";
    scaling["factor"] = c.rope.factor;
    if (c.rope.scaling == RopeScaling::kLlama3) {
      scaling["low_freq_factor"] = c.rope.low_freq_factor;
      scaling["high_freq_factor"] = c.rope.high_freq_factor;
    }
    if (c.rope.original_max_position_embeddings > 0) {
      scaling["original_max_position_embeddings"] = c.rope.original_max_position_embeddings;
    }
  }
  const auto id_or_null = [](const std::optional<int32_t>& id) {
    return id ? OrderedJson(*id) : OrderedJson();
  };
  json["bos_token_id"] = id_or_null(description.bos_token_id);
  json["pad_token_id"] = id_or_null(description.pad_token_id);
  json["eos_token_id"] =
      description.eos_token_ids.empty() ? OrderedJson() : OrderedJson(description.eos_token_ids);
  return json;
}

// The checkpoint's own configuration, with what a folder of one's own changes.
OrderedJson config_of(const CheckpointPlace& place, const fs::path& tower_folder,
                      const CheckpointText& text) {
  const checkpoint::CheckpointDescription& description = place.description;
  const fs::path file = place.path / "config.json";
  OrderedJson json =
      fs::is_directory(place.path) ? read_ordered_file(file) : config_of_decoder(description);
  json.erase("quantization_config");
  if (!text.conv_mode.empty()) json["conv_mode"] = text.conv_mode;  // not by the folder's name
  if (description.layout == Layout::kHuggingFace) return json;
  json["tie_word_embeddings"] = description.config.decoder.is_head_tied;
  // A base's tokenizer is opened in the original's slow form whatever the family.
  if (!place.base.empty() && fs::exists(place.language_model() / "tokenizer.model")) {
    json["tokenizer_form"] = "slow";
  }
  if (!description.config.has_vision) return json;
  json["unfreeze_mm_vision_tower"] = true;  // its weights are in the store
  if (!tower_folder.empty()) json["mm_vision_tower"] = kTowerFolder;
  return json;
}

OrderedJson json_of(const checkpoint::GenerationDefaults& defaults) {
  OrderedJson json = OrderedJson::object();
  const auto set = [&](const char* key, const auto& value) {
    if (value) json[key] = *value;
  };
  set("do_sample", defaults.do_sample);
  set("temperature", defaults.temperature);
  set("top_k", defaults.top_k);
  set("top_p", defaults.top_p);
  set("num_beams", defaults.num_beams);
  set("repetition_penalty", defaults.repetition_penalty);
  set("length_penalty", defaults.length_penalty);
  set("early_stopping", defaults.early_stopping);
  set("max_length", defaults.max_length);
  set("max_new_tokens", defaults.max_new_tokens);
  set("bos_token_id", defaults.bos_token_id);
  set("pad_token_id", defaults.pad_token_id);
  if (!defaults.eos_token_ids.empty()) json["eos_token_id"] = defaults.eos_token_ids;
  return json;
}

void write_tokenizer(const fs::path& folder, const fs::path& language_model) {
  if (!fs::is_directory(language_model)) {
    write_file_atomically(folder / checkpoint::kGgufTokenizerFile,
                          checkpoint::GgufFile::open(language_model)->without_tensors());
    return;
  }
  copy_tokenizer_files(language_model, folder);
  copy_file_if_any(language_model, folder, std::string(checkpoint::kGgufTokenizerFile));
}

}  // namespace

void write_store_folder(const fs::path& folder, const CheckpointPlace& place,
                        const fs::path& tower_folder, const CheckpointText& text) {
  write_ordered_file(folder / "config.json", config_of(place, tower_folder, text));
  write_ordered_file(folder / "generation_config.json", json_of(read_decoding_defaults(place)));
  write_tokenizer(folder, place.language_model());
  if (place.description.layout == Layout::kHuggingFace) {
    copy_processor_files(place.path, folder);
  } else if (!tower_folder.empty()) {
    fs::create_directories(folder / kTowerFolder);
    copy_file_if_any(tower_folder, folder / kTowerFolder, "config.json");
    copy_processor_files(tower_folder, folder / kTowerFolder);
  }
}

}  // namespace llava::engine
