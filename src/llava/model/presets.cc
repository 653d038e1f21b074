// SPDX-License-Identifier: Apache-2.0
#include "llava/model/presets.h"

namespace llava::model {

std::optional<VisionConfig> published_vision_tower(std::string_view name) {
  VisionConfig vit_l_14{.hidden_size = 1024,
                        .intermediate_size = 4096,
                        .num_hidden_layers = 24,
                        .num_attention_heads = 16,
                        .image_size = 224,
                        .patch_size = 14};
  if (name == "openai/clip-vit-large-patch14") return vit_l_14;
  if (name != "openai/clip-vit-large-patch14-336") return std::nullopt;
  vit_l_14.image_size = 336;
  return vit_l_14;
}

LlavaConfig llava_15_7b() {
  LlavaConfig c;
  c.decoder = {.max_position_embeddings = 4096, .rms_norm_eps = 1e-5f};
  c.vision = *published_vision_tower("openai/clip-vit-large-patch14-336");
  c.projector = {.type = ProjectorType::kMlp};
  c.geometry.mode = image::AspectMode::kPad;
  return c;
}

LlavaConfig llava_15_13b() {
  LlavaConfig c = llava_15_7b();
  c.decoder.hidden_size = 5120;
  c.decoder.intermediate_size = 13824;
  c.decoder.num_hidden_layers = 40;
  c.decoder.num_attention_heads = 40;
  c.decoder.num_key_value_heads = 40;
  return c;
}

LlavaConfig llava_16_mistral_7b() {
  LlavaConfig c = llava_15_7b();
  c.decoder.family = DecoderFamily::kMistral;
  c.decoder.intermediate_size = 14336;
  c.decoder.num_key_value_heads = 8;
  c.decoder.max_position_embeddings = 32768;
  c.decoder.rope.theta = 1e6;
  c.geometry.mode = image::AspectMode::kAnyres;
  c.geometry.merge = {.is_spatial = true, .has_unpad = true};
  c.geometry.pinpoints = {{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}};
  c.has_image_newline = true;
  return c;
}

}  // namespace llava::model
