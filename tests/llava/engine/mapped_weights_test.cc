// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/mapped_weights.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace llava::engine {
namespace {

// As the readers of checkpoints give a tensor that stays in its file.
Tensor foreign(Shape shape) {
  const auto num_bytes = static_cast<std::size_t>(tensor_bytes(shape, DType::kFloat32));
  const auto bytes = std::make_shared<std::vector<std::byte>>(num_bytes);
  return Tensor::view_of(bytes, *bytes, std::move(shape), DType::kFloat32);
}

TEST(MappedWeights, CountsWhatIsInFilesAndNothingElse) {
  model::LlavaConfig config;
  config.decoder = {.vocab_size = 32,
                    .hidden_size = 8,
                    .intermediate_size = 16,
                    .num_hidden_layers = 1,
                    .num_attention_heads = 2,
                    .num_key_value_heads = 2,
                    .head_dim = 4};
  config.has_vision = false;
  model::LlavaModel model(config);
  EXPECT_EQ(mapped_weight_bytes(model), 0);

  model.decoder.embed_tokens.value = Tensor::zeros({32, 8}, DType::kFloat32);
  EXPECT_EQ(mapped_weight_bytes(model), 0) << "memory of the process";

  model.decoder.embed_tokens.value = foreign({32, 8});
  model.decoder.layers[0].mlp.down_proj.weight.value = foreign({8, 16});
  model.decoder.layers[0].mlp.down_proj.adapters.push_back(
      {.a_RI = foreign({2, 16}), .b_OR = foreign({8, 2}), .scale = 1});
  EXPECT_EQ(mapped_weight_bytes(model), 4 * (32 * 8 + 8 * 16 + 2 * 16 + 8 * 2));
}

}  // namespace
}  // namespace llava::engine
