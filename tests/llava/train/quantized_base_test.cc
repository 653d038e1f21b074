// SPDX-License-Identifier: Apache-2.0
#include "llava/train/quantized_base.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "llava/backend/torch/coded_weight.h"
#include "llava/backend/torch/torch_backend.h"
#include "llava/backend/torch/torch_tensor.h"

namespace llava::train {
namespace {

model::LlavaConfig small_config() {
  model::LlavaConfig config;
  config.has_vision = false;
  config.decoder.vocab_size = 32;
  config.decoder.hidden_size = 64;
  config.decoder.intermediate_size = 128;
  config.decoder.num_hidden_layers = 1;
  config.decoder.num_attention_heads = 2;
  config.decoder.num_key_value_heads = 2;
  config.decoder.head_dim = 32;
  return config;
}

TrainConfig with_bits(int32_t bits) {
  TrainConfig config;
  config.lora.lora_enable = true;
  config.lora.bits = bits;
  return config;
}

class QuantizedBaseTest : public ::testing::Test {
 protected:
  QuantizedBaseTest() {
    record_gradients(*backend_, true);
    model::visit(model_, {.on_parameter =
                              [&](const std::string&, model::Parameter& parameter) {
                                parameter.value = from_at(at::randn(parameter.shape));
                              },
                          .on_linear = {}});
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = make_torch_backend({}, 2);
  Context ctx_{.backend = *backend_, .pool = &pool_};
  model::LlavaModel model_{small_config()};
};

TEST_F(QuantizedBaseTest, LinearLayersOfTheDecoderAndInReferenceTheHead) {
  TrainConfig config = with_bits(4);
  EXPECT_TRUE(is_quantized("model.layers.0.self_attn.q_proj.weight", config));
  for (const char* name :
       {"model.embed_tokens.weight", "model.norm.weight", "model.layers.0.input_layernorm.weight",
        "model.mm_projector.0.weight", "model.layers.0.self_attn.q_proj.bias", "lm_head.weight",
        "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1"
        ".weight"}) {
    EXPECT_FALSE(is_quantized(name, config)) << name;
  }
  config.run.compat = "reference";
  EXPECT_TRUE(is_quantized("lm_head.weight", config));
  EXPECT_FALSE(is_quantized("model.layers.0.self_attn.q_proj.weight", with_bits(16)));
}

TEST_F(QuantizedBaseTest, CodesTakeWhatIsPlanned) {
  for (const int32_t bits : {4, 8}) {
    for (const bool nested : {false, true}) {
      TrainConfig config = with_bits(bits);
      config.lora.double_quant = nested;
      model::LlavaModel model = model_;
      quantize_base(model, config, pool_);
      const Tensor& weight = model.decoder.layers[0].mlp.gate_proj.weight.value;
      const auto codes = coded_storage(weight);
      ASSERT_NE(codes, nullptr);
      EXPECT_EQ(codes->coded_bytes(), quantized_bytes(weight.numel(), weight.dim(1), config.lora));
      EXPECT_EQ(coded_storage(model.lm_head.weight.value), nullptr);
    }
  }
}

// The product with decoded floats is the oracle, forwards and backwards.
TEST_F(QuantizedBaseTest, ProductsAreThoseOfTheDecodedMatrix) {
  quantize_base(model_, with_bits(4), pool_);
  const model::Linear& layer = model_.decoder.layers[0].mlp.up_proj;
  const at::Tensor matrix = to_at(layer.weight.value);
  const at::Tensor x = at::randn({5, 64}).requires_grad_(true);
  const at::Tensor y = to_at(layer.forward(ctx_, from_at(x)));
  const at::Tensor expected = at::linear(x, matrix);
  EXPECT_TRUE(y.equal(expected));
  const at::Tensor gradient = at::randn(y.sizes());
  y.backward(gradient);
  EXPECT_LE((x.grad() - gradient.matmul(matrix)).abs().max().item<float>(), 1e-4f);
}

TEST_F(QuantizedBaseTest, HalfPrecisionRoundsTheDecodedFloats) {
  model::LlavaModel half = model_;
  model::LlavaModel wide = model_;
  const auto weight_of = [](model::LlavaModel& model) -> Tensor& {
    return model.decoder.layers[0].mlp.up_proj.weight.value;
  };
  const at::Tensor rounded = to_at(weight_of(model_)).to(at::kBFloat16);
  weight_of(half) = from_at(rounded);
  weight_of(wide) = from_at(rounded.to(at::kFloat));
  quantize_base(half, with_bits(8), pool_);
  quantize_base(wide, with_bits(8), pool_);
  EXPECT_EQ(weight_of(half).dtype(), DType::kBFloat16);
  EXPECT_TRUE(to_at(weight_of(half)).equal(to_at(weight_of(wide)).to(at::kBFloat16)));
}

}  // namespace
}  // namespace llava::train
