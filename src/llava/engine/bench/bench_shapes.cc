// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/bench_shapes.h"

#include "llava/core/error.h"
#include "llava/model/presets.h"

namespace llava::engine {
namespace {

model::LlavaConfig tinyllama_1b() {
  model::LlavaConfig c = model::llava_15_7b();
  c.decoder.hidden_size = 2048;
  c.decoder.intermediate_size = 5632;
  c.decoder.num_hidden_layers = 22;
  c.decoder.num_attention_heads = 32;
  c.decoder.num_key_value_heads = 4;
  c.decoder.head_dim = 64;
  return c;
}

model::LlavaConfig smollm2_135m() {
  model::LlavaConfig c = model::llava_15_7b();
  c.decoder.vocab_size = 49152;
  c.decoder.hidden_size = 576;
  c.decoder.intermediate_size = 1536;
  c.decoder.num_hidden_layers = 30;
  c.decoder.num_attention_heads = 9;
  c.decoder.num_key_value_heads = 3;
  c.decoder.head_dim = 64;
  c.decoder.rope.theta = 1e5;
  return c;
}

model::LlavaConfig tiny() {
  model::LlavaConfig c = model::llava_15_7b();
  c.decoder.vocab_size = 512;
  c.decoder.hidden_size = 64;
  c.decoder.intermediate_size = 192;
  c.decoder.num_hidden_layers = 2;
  c.decoder.num_attention_heads = 4;
  c.decoder.num_key_value_heads = 2;
  c.decoder.head_dim = 16;
  c.vision = {.hidden_size = 64,
              .intermediate_size = 128,
              .num_hidden_layers = 3,
              .num_attention_heads = 4,
              .image_size = 56,
              .patch_size = 14};
  return c;
}

struct NamedShape {
  std::string_view name;
  model::LlavaConfig (*make)();
};

constexpr NamedShape kShapes[] = {{"7b", model::llava_15_7b},
                                  {"13b", model::llava_15_13b},
                                  {"mistral-7b", model::llava_16_mistral_7b},
                                  {"tinyllama-1.1b", tinyllama_1b},
                                  {"smollm2-135m", smollm2_135m},
                                  {"tiny", tiny}};

}  // namespace

model::LlavaConfig bench_shape(std::string_view name) {
  for (const NamedShape& shape : kShapes) {
    if (shape.name != name) continue;
    model::LlavaConfig config = shape.make();
    config.geometry.tile_size = config.vision.image_size;
    config.geometry.patches_per_side = config.vision.patches_per_side();
    return config;
  }
  fail(ErrorCode::kInvalidArgument, "shape '{}' is unknown, expected one of {}", name,
       fmt::join(bench_shape_names(), ", "));
}

std::vector<std::string> bench_shape_names() {
  std::vector<std::string> names;
  for (const NamedShape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

}  // namespace llava::engine
