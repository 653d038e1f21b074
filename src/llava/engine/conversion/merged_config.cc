// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/conversion/merged_config.h"

#include "llava/engine/checkpoint_files.h"
#include "llava/text/choose_template.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using model::DecoderFamily;

// The original's classes and configuration types.
struct ClassName {
  const char* architecture;
  const char* model_type;
};

ClassName class_of(DecoderFamily family) {
  switch (family) {
    case DecoderFamily::kMistral:
      return {"LlavaMistralForCausalLM", "llava_mistral"};
    case DecoderFamily::kQwen2:
      return {"LlavaQwenForCausalLM", "llava_qwen"};
    case DecoderFamily::kLlama:
      break;
  }
  return {"LlavaLlamaForCausalLM", "llava_llama"};
}

}  // namespace

OrderedJson merged_config(const CheckpointPlace& place, const CheckpointText& text,
                          const MergedConfig& merged) {
  const checkpoint::CheckpointDescription& description = place.description;
  const model::DecoderConfig& decoder = description.config.decoder;
  OrderedJson json = read_ordered_file(place.path / "config.json");
  json.erase("quantization_config");
  const ClassName name = class_of(decoder.family);
  json["architectures"] = {name.architecture};
  if (description.model_type.find("llava") == std::string::npos) {
    json["model_type"] = name.model_type;
  }
  json["torch_dtype"] = dtype_name(merged.dtype);
  json["use_cache"] = true;
  json["vocab_size"] = merged.vocab_size;
  json["tie_word_embeddings"] = decoder.is_head_tied;
  if (merged.has_tower_weights) json["unfreeze_mm_vision_tower"] = true;
  // A base's tokenizer is opened in the original's slow form whatever the family.
  if (decoder.family == DecoderFamily::kMistral &&
      fs::exists(place.language_model() / "tokenizer.model")) {
    json["tokenizer_form"] = "slow";
  }
  const std::string target_name =
      text::model_name_from_path(fs::absolute(merged.target).lexically_normal().string());
  if (!text.conv_mode.empty() && text::template_for_program(target_name) != text.conv_mode) {
    json["conv_mode"] = text.conv_mode;  // its own name says another
  }
  return json;
}

}  // namespace llava::engine
