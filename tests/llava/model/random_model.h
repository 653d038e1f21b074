// SPDX-License-Identifier: Apache-2.0
//
// A tiny model with random weights, the same for the same seed.
#pragma once

#include <cmath>
#include <string>

#include "llava/core/random.h"
#include "llava/model/llava_model.h"

namespace llava::model {

inline LlavaConfig tiny_config() {
  LlavaConfig c;
  c.decoder = {.vocab_size = 50,
               .hidden_size = 24,
               .intermediate_size = 40,
               .num_hidden_layers = 2,
               .num_attention_heads = 4,
               .num_key_value_heads = 2,
               .head_dim = 6,
               .max_position_embeddings = 64,
               .rms_norm_eps = 1e-5f};
  c.vision = {.hidden_size = 16,
              .intermediate_size = 32,
              .num_hidden_layers = 3,
              .num_attention_heads = 2,
              .image_size = 28,
              .patch_size = 14};
  c.projector = {.type = ProjectorType::kMlp};
  return c;
}

/// Fills every parameter with numbers of the size trained weights have.
inline void fill_random(LlavaModel& model, uint64_t seed) {
  visit(model, {.on_parameter =
                    [seed](const std::string& name, Parameter& parameter) {
                      Generator generator(seed + std::hash<std::string>{}(name));
                      parameter.value = Tensor::empty(parameter.shape, DType::kFloat32);
                      const bool is_norm = parameter.shape.size() == 1 && name.ends_with("weight");
                      const double size =
                          1.0 / std::sqrt(static_cast<double>(parameter.shape.back()));
                      for (float& value : parameter.value.mutable_data<float>()) {
                        const double noise = (2 * generator.uniform() - 1) * size;
                        value = static_cast<float>(is_norm ? 1 + noise : noise);
                      }
                    },
                .on_linear = {}});
}

}  // namespace llava::model
