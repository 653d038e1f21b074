// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/model_identity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "../model/random_model.h"
#include "llava/backend/native/native_backend.h"

namespace llava::engine {
namespace {

class ModelIdentityTest : public testing::Test {
 protected:
  // The identity of a tiny model after a change.
  ModelIdentity identity(const std::function<void(model::LlavaModel&)>& change = {}) {
    model::LlavaModel model(model::tiny_config());
    model::fill_random(model, 1);
    if (change) change(model);
    Context ctx{*backend_, &pool_};
    return identify_model(ctx, model);
  }

  static void flip_a_bit(Tensor& tensor) {
    // A copy: the numbers of a model may be shared.
    Tensor copy = Tensor::empty(tensor.shape(), tensor.dtype());
    std::ranges::copy(tensor.bytes(), copy.mutable_bytes().begin());
    copy.mutable_bytes().back() ^= std::byte{1};
    tensor = copy;
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
};

TEST_F(ModelIdentityTest, IsTheSameForTheSameModel) {
  const ModelIdentity one = identity();
  const ModelIdentity other = identity();
  EXPECT_EQ(one.features, other.features);
  EXPECT_EQ(one.prefixes, other.prefixes);
  EXPECT_NE(one.features, one.prefixes);
}

TEST_F(ModelIdentityTest, EveryPartOfTheDecoderCountsForPrefixesAlone) {
  const ModelIdentity original = identity();
  const std::vector<std::function<void(model::LlavaModel&)>> changes{
      [](auto& m) { flip_a_bit(m.decoder.layers[1].mlp.down_proj.weight.value); },
      [](auto& m) { flip_a_bit(m.decoder.norm.weight.value); },
      [](auto& m) { m.config.decoder.rope.theta = 10001; },
      [](auto& m) { m.config.decoder.rms_norm_eps = 1e-6f; },
      [](auto& m) { m.config.decoder.sliding_window = 7; },
      [](auto& m) {
        m.decoder.layers[0].self_attn.q_proj.adapters.push_back(
            {Tensor::zeros({2, 24}, DType::kFloat32), Tensor::zeros({24, 2}, DType::kFloat32),
             0.5f});
      },
      [](auto& m) {
        m.decoder.layers[0].self_attn.q_proj.adapters.push_back(
            {Tensor::zeros({2, 24}, DType::kFloat32), Tensor::zeros({24, 2}, DType::kFloat32),
             0.25f});
      }};
  std::vector<std::string> seen{original.prefixes};
  for (const auto& change : changes) {
    const ModelIdentity changed = identity(change);
    EXPECT_EQ(changed.features, original.features);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), changed.prefixes), 0) << seen.size();
    seen.push_back(changed.prefixes);
  }
}

TEST_F(ModelIdentityTest, EveryPartOfTheVisionCountsForBoth) {
  const ModelIdentity original = identity();
  const std::vector<std::function<void(model::LlavaModel&)>> changes{
      [](auto& m) { flip_a_bit(m.vision_tower->patch_embedding.value); },
      [](auto& m) { m.config.vision.layer_norm_eps = 1e-6f; },
      [](auto& m) { m.config.vision_feature_layers = {-1}; },
      [](auto& m) { m.config.projector.activation = Activation::kGeluTanh; }};
  for (const auto& change : changes) {
    const ModelIdentity changed = identity(change);
    EXPECT_NE(changed.features, original.features);
    EXPECT_NE(changed.prefixes, original.prefixes);
  }
}

}  // namespace
}  // namespace llava::engine
