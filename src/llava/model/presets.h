// SPDX-License-Identifier: Apache-2.0
//
// Shapes of published models by name, for checkpoints made of random numbers and for towers whose
// own folder is not at hand.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/model/config.h"

namespace llava::model {

/// CLIP towers of the published models: "openai/clip-vit-large-patch14-336" and
/// "openai/clip-vit-large-patch14"; nothing for another name.
std::optional<VisionConfig> published_vision_tower(std::string_view name);

/// LLaVA-1.5-7B: Vicuna-7B, CLIP ViT-L/14 at 336 pixels, two-layer projector, pad.
LlavaConfig llava_15_7b();
/// LLaVA-1.5-13B.
LlavaConfig llava_15_13b();
/// LLaVA-1.6-Mistral-7B: grouped heads, anyres.
LlavaConfig llava_16_mistral_7b();

}  // namespace llava::model
