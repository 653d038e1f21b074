// SPDX-License-Identifier: Apache-2.0
//
// Models whose matrices are packed while loading, or come packed from their source.
#include "llava/checkpoint/load_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "llava/backend/native/native_backend.h"
#include "llava/checkpoint/merge_adapter.h"
#include "llava/checkpoint/quantize_weights.h"
#include "llava/checkpoint/resized_table.h"
#include "llava/core/thread_pool.h"
#include "llava/model/random_model.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

constexpr const char* kQuery = "model.layers.1.self_attn.q_proj";

// All parameters of a tiny random model by name; those whose name `packs` says, packed.
std::map<std::string, Tensor> random_tensors(const model::LlavaConfig& config) {
  model::LlavaModel model(config);
  model::fill_random(model, 9);
  std::map<std::string, Tensor> tensors;
  model::visit(model, {.on_parameter =
                           [&](const std::string& name, model::Parameter& p) {
                             if (config.decoder.is_head_tied && name == "lm_head.weight") return;
                             tensors[name] = p.value;
                           },
                       .on_linear = {}});
  return tensors;
}

class LoadPacked : public testing::Test {
 protected:
  std::unique_ptr<model::LlavaModel> load(const LoadModelOptions& options) {
    return load_model(ctx_, config_, weights_, options);
  }

  const Tensor& parameter(model::LlavaModel& model, const std::string& wanted) {
    const Tensor* found = nullptr;
    model::visit(model, {.on_parameter =
                             [&](const std::string& name, model::Parameter& p) {
                               if (name == wanted) found = &p.value;
                             },
                         .on_linear = {}});
    EXPECT_NE(found, nullptr) << wanted;
    return *found;
  }

  void use(std::map<std::string, Tensor> tensors) {
    weights_.sources = {source_of_tensors(std::move(tensors), "random")};
  }

  std::vector<float> logits(model::LlavaModel& model) {
    const std::vector<int32_t> ids{3, 7, 1, 49}, positions{0, 1, 2, 3};
    const SequenceSlice slice{.first_token = 0, .num_tokens = 4, .num_past = 0, .pages = {}};
    const Tensor x = model.embed(ctx_, ids, {}, {});
    EXPECT_EQ(x.dtype(), model.dtype());
    const Tensor out = model.logits(ctx_, model.decode(ctx_, x, positions, {&slice, 1}, nullptr));
    return {out.data<float>().begin(), out.data<float>().end()};
  }

  static double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
    double distance = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      distance += std::pow(double{a[i]} - double{b[i]}, 2);
      norm += std::pow(double{b[i]}, 2);
    }
    return std::sqrt(distance / norm);
  }

  model::LlavaConfig config_ = model::tiny_config();
  std::map<std::string, Tensor> tensors_ = random_tensors(config_);
  ModelWeights weights_{.sources = {source_of_tensors(tensors_, "random")}, .adapters = {}};
  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
  Context ctx_{*backend_, &pool_};
};

TEST_F(LoadPacked, EachPartHasItsForm) {
  const auto model = load({.vision_dtype = DType::kBFloat16,
                           .projector_dtype = DType::kFloat16,
                           .forms = {.language = DType::kPackedQ4Min, .head = DType::kPackedQ8}});
  EXPECT_EQ(parameter(*model, std::string(kQuery) + ".weight").dtype(), DType::kPackedQ4Min);
  EXPECT_EQ(parameter(*model, "lm_head.weight").dtype(), DType::kPackedQ8);
  EXPECT_EQ(parameter(*model, "model.embed_tokens.weight").dtype(), DType::kFloat32);
  EXPECT_EQ(parameter(*model, "model.norm.weight").dtype(), DType::kFloat32);
  EXPECT_EQ(parameter(*model, "model.mm_projector.0.weight").dtype(), DType::kFloat16);
  EXPECT_EQ(model->vision_dtype(), DType::kBFloat16);
  EXPECT_EQ(model->dtype(), DType::kFloat32);
}

TEST_F(LoadPacked, TheTableKeepsItsTypeUnlessItIsTheHead) {
  tensors_["model.embed_tokens.weight"] =
      host_cast(tensors_["model.embed_tokens.weight"], DType::kBFloat16);
  use(tensors_);
  auto model = load({.forms = forms_of_4_bits()});
  EXPECT_EQ(parameter(*model, "model.embed_tokens.weight").dtype(), DType::kBFloat16);
  EXPECT_EQ(logits(*model).size(), 4u * 50u);

  config_.decoder.is_head_tied = true;
  tensors_.erase("lm_head.weight");
  use(tensors_);
  model = load({.forms = forms_of_4_bits()});
  EXPECT_EQ(parameter(*model, "model.embed_tokens.weight").dtype(), DType::kPackedQ8);
  EXPECT_EQ(logits(*model).size(), 4u * 50u);
}

TEST_F(LoadPacked, AnswersStayNearThoseOfTheFloats) {
  const std::vector<float> expected = logits(*load({}));
  EXPECT_LT(relative_distance(logits(*load({.forms = forms_of_8_bits()})), expected), 0.02);
  EXPECT_LT(relative_distance(logits(*load({.forms = forms_of_4_bits()})), expected), 0.25);
}

TEST_F(LoadPacked, PackedSourcesAreKeptOrWidened) {
  const std::string name = std::string(kQuery) + ".weight";
  const Tensor packed = quantize_matrix(pool_, tensors_[name], DType::kPackedQ4Min).weight;
  tensors_[name] = packed;
  use(tensors_);

  const auto kept = load({.keeps_packed = true});
  EXPECT_EQ(parameter(*kept, name).dtype(), DType::kPackedQ4Min);
  EXPECT_EQ(parameter(*kept, name).bytes().data(), packed.bytes().data());

  const auto widened = load({.dtype = DType::kFloat32, .keeps_packed = false});
  const Tensor floats = dequantize(packed);
  EXPECT_TRUE(std::ranges::equal(parameter(*widened, name).data<float>(), floats.data<float>()));

  // As few bits as asked for: not quantised twice. Eight stored and four wanted: quantised.
  EXPECT_EQ(parameter(*load({.forms = forms_of_4_bits()}), name).dtype(), DType::kPackedQ4Min);
  EXPECT_EQ(parameter(*load({.forms = forms_of_8_bits()}), name).dtype(), DType::kPackedQ4Min);
  tensors_[name] = quantize_matrix(pool_, floats, DType::kPackedQ8).weight;
  use(tensors_);
  EXPECT_EQ(parameter(*load({.forms = forms_of_4_bits()}), name).dtype(), DType::kPackedQ4);
}

TEST_F(LoadPacked, AdaptersStandBesidePackedWeights) {
  Generator generator(4);
  model::LoraAdapter adapter{.a_RI = Tensor::empty({2, 24}, DType::kFloat32),
                             .b_OR = Tensor::empty({24, 2}, DType::kFloat32),
                             .scale = 0.5f};
  for (Tensor* part : {&adapter.a_RI, &adapter.b_OR}) {
    for (float& value : part->mutable_data<float>()) {
      value = static_cast<float>(generator.uniform() - 0.5);
    }
  }
  const std::vector<float> without = logits(*load({.forms = forms_of_8_bits()}));
  weights_.adapters[kQuery] = adapter;
  const std::vector<float> beside = logits(*load({.forms = forms_of_8_bits()}));
  const std::vector<float> floats = logits(*load({}));
  EXPECT_LT(relative_distance(beside, floats), 0.02);
  EXPECT_GT(relative_distance(without, floats), relative_distance(beside, floats));

  // Merged in float, then quantised.
  const std::string name = std::string(kQuery) + ".weight";
  const Tensor merged = merge_adapter(tensors_[name], adapter);
  const Tensor expected = quantize_matrix(pool_, merged, DType::kPackedQ8).weight;
  const auto model = load({.forms = forms_of_8_bits(), .merges_adapters = true});
  const Tensor& found = parameter(*model, name);
  ASSERT_EQ(found.dtype(), DType::kPackedQ8);
  EXPECT_TRUE(std::ranges::equal(found.bytes(), expected.bytes()));
  tensors_[name] = quantize_matrix(pool_, tensors_[name], DType::kPackedQ8).weight;
  use(tensors_);
  const auto again = load({.keeps_packed = true, .merges_adapters = true});
  EXPECT_EQ(parameter(*again, name).dtype(), DType::kPackedQ8Min);
}

// Steps are larger than what an adapter adds: on the weight's own grid the sum would
// be rounded back to the weight.
TEST_F(LoadPacked, AMergedAdapterLeavesTheGrid) {
  const std::string name = std::string(kQuery) + ".weight";
  const Tensor packed = quantize_matrix(pool_, tensors_[name], DType::kPackedQ4Min).weight;
  tensors_[name] = packed;
  use(tensors_);
  weights_.adapters[kQuery] = {.a_RI = Tensor::from_floats({1, 24}, std::vector<float>(24, 0.01f)),
                               .b_OR = Tensor::from_floats({24, 1}, std::vector<float>(24, 0.01f)),
                               .scale = 1.0f};
  const Tensor merged = merge_adapter(dequantize_matrix(pool_, packed), weights_.adapters[kQuery]);
  const auto expect_held = [&](const LoadModelOptions& options, DType form) {
    const auto model = load(options);
    ASSERT_EQ(parameter(*model, name).dtype(), form);
    EXPECT_TRUE(std::ranges::equal(parameter(*model, name).bytes(),
                                   quantize_matrix(pool_, merged, form).weight.bytes()));
  };
  expect_held({.keeps_packed = true, .merges_adapters = true}, DType::kPackedQ8);
  expect_held({.forms = forms_of_4_bits(), .keeps_packed = true, .merges_adapters = true},
              DType::kPackedQ4);
  expect_held({.forms = {.language = DType::kPackedQ4Min}, .merges_adapters = true},
              DType::kPackedQ4);
  EXPECT_EQ(parameter(*load({.merges_adapters = true}), name).dtype(), DType::kFloat32);
  EXPECT_EQ(parameter(*load({.keeps_packed = true}), name).dtype(), DType::kPackedQ4Min);
}

TEST_F(LoadPacked, BytesPromisedAreBytesHeld) {
  tensors_["model.layers.0.mlp.up_proj.weight"] =
      quantize_matrix(pool_, tensors_["model.layers.0.mlp.up_proj.weight"], DType::kPackedQ4Min)
          .weight;
  use(tensors_);
  for (const LoadModelOptions& options :
       {LoadModelOptions{}, LoadModelOptions{.keeps_packed = true},
        LoadModelOptions{.forms = forms_of_4_bits()},
        LoadModelOptions{.dtype = DType::kFloat16, .vision_dtype = DType::kBFloat16}}) {
    const auto model = load(options);
    std::map<DType, int64_t> held;
    int64_t total = 0;
    model::visit(*model, {.on_parameter =
                              [&](const std::string&, model::Parameter& p) {
                                held[p.value.dtype()] += p.value.num_bytes();
                                total += p.value.num_bytes();
                              },
                          .on_linear = {}});
    const WeightBytes promised = weight_bytes(config_, weights_, options);
    EXPECT_EQ(promised.by_dtype, held);
    EXPECT_EQ(promised.total(), total);
  }
}

// New tokens' rows cannot be written into packed groups.
TEST_F(LoadPacked, APackedTableIsWidenedToGrow) {
  const std::string name = "model.embed_tokens.weight";
  const Tensor packed = quantize_matrix(pool_, tensors_[name], DType::kPackedQ8).weight;
  tensors_[name] = packed;
  use(tensors_);
  config_.decoder.vocab_size = 52;
  tensors_["lm_head.weight"] = Tensor::zeros({52, 24}, DType::kFloat32);
  use(tensors_);
  weights_.sources = fit_tables(weights_.sources, config_.decoder, 52);
  const auto model = load({.keeps_packed = true});
  const Tensor& table = parameter(*model, name);
  ASSERT_EQ(table.dtype(), DType::kFloat32);
  ASSERT_EQ(table.shape(), (Shape{52, 24}));
  const Tensor floats = dequantize(packed);
  EXPECT_TRUE(std::ranges::equal(table.rows(0, 50).data<float>(), floats.data<float>()));
}

}  // namespace
}  // namespace llava::checkpoint
