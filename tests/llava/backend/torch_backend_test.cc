// SPDX-License-Identifier: Apache-2.0
//
// What only the torch backend promises: gradients, conversions to and from at::Tensor, devices and
// errors.
#include "llava/backend/torch/torch_backend.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>

#include <array>
#include <functional>

#include "llava/backend/backend_case.h"
#include "llava/backend/torch/torch_tensor.h"
#include "llava/core/error.h"

namespace llava {
namespace {

using Function = std::function<Tensor(Context&, const std::vector<Tensor>&)>;

class TorchBackendTest : public testing::Test {
 protected:
  // A leaf that requires a gradient, as float32 Tensor.
  static at::Tensor leaf(at::IntArrayRef shape) {
    return at::randn(shape, at::TensorOptions().dtype(at::kFloat)).requires_grad_(true);
  }

  // Compares the gradient of sum(function * weights) along random directions with a central
  // difference.
  void check_gradient(const std::vector<at::Tensor>& leaves, const Function& function) {
    const auto evaluate = [&](const std::vector<at::Tensor>& arguments) {
      std::vector<Tensor> tensors;
      for (const at::Tensor& argument : arguments) tensors.push_back(from_at(argument));
      return to_at(function(context_, tensors));
    };
    const at::Tensor result = evaluate(leaves);
    ASSERT_TRUE(result.requires_grad());
    const at::Tensor weights = at::randn(result.sizes(), at::TensorOptions().dtype(at::kFloat));
    (result * weights).sum().backward();
    constexpr double kStep = 1e-2;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      ASSERT_TRUE(leaves[i].grad().defined()) << "argument " << i;
      const at::Tensor direction =
          at::randn(leaves[i].sizes(), at::TensorOptions().dtype(at::kFloat));
      const auto moved = [&](double step) {
        std::vector<at::Tensor> arguments;
        for (const at::Tensor& x : leaves) arguments.push_back(x.detach());
        arguments[i] = arguments[i] + direction * step;
        return (evaluate(arguments).to(at::kDouble) * weights.to(at::kDouble))
            .sum()
            .item()
            .toDouble();
      };
      const double numeric = (moved(kStep) - moved(-kStep)) / (2 * kStep);
      const double exact = (leaves[i].grad() * direction).sum().item().toDouble();
      // The difference has an error of step^2 in curvature and of roundings over the step.
      EXPECT_NEAR(exact, numeric, 2e-2 * (1 + std::abs(exact))) << "argument " << i;
    }
  }

  std::unique_ptr<Backend> backend_ = make_torch_backend(Device{}, 0);
  Context context_{*backend_};
};

class TorchGradientTest : public TorchBackendTest {
 protected:
  void SetUp() override { record_gradients(*backend_, true); }
};

TEST_F(TorchGradientTest, Linear) {
  check_gradient({leaf({5, 6}), leaf({4, 6}), leaf({4})},
                 [](Context& ctx, const auto& x) { return ops::linear(ctx, x[0], x[1], x[2]); });
}

TEST_F(TorchGradientTest, LinearWithALowRankTerm) {
  for (const bool sees_own : {true, false}) {
    check_gradient({leaf({5, 6}), leaf({4, 6}), leaf({4}), leaf({2, 6}), leaf({4, 2})},
                   [&](Context& ctx, const auto& x) {
                     const Tensor seen = sees_own ? x[0] : ops::add_scaled(ctx, x[0], x[0], 0.5f);
                     const LowRankTerm term{seen, x[3], x[4], 0.7f};
                     const LinearWeights weights{x[1], x[2], {&term, 1}};
                     Tensor result;
                     ops::linear_all(ctx, x[0], {&weights, 1}, {&result, 1});
                     return result;
                   });
  }
}

// A product keeps nothing of an input that a norm or a gate has made: its gradient makes it again.
TEST_F(TorchGradientTest, InputsThatAreComputedAgain) {
  check_gradient({leaf({5, 8}), leaf({8}), leaf({6, 8}), leaf({6, 8}), leaf({3, 6}), leaf({2, 6}),
                  leaf({3, 2})},
                 [](Context& ctx, const auto& x) {
                   const Tensor normed = ops::rms_norm(ctx, x[0], x[1], 1e-5f);
                   const Tensor gate = ops::linear(ctx, normed, x[2], Tensor());
                   const Tensor up = ops::linear(ctx, normed, x[3], Tensor());
                   const Tensor both = ops::silu_mul(ctx, gate, up);
                   const LowRankTerm term{both, x[5], x[6], 0.7f};
                   const LinearWeights weights{x[4], Tensor(), {&term, 1}};
                   Tensor result;
                   ops::linear_all(ctx, both, {&weights, 1}, {&result, 1});
                   return result;
                 });
}

// 16-bit products with their transpositions, at sizes that are no multiples of a block: gradients
// against those of the same numbers in float32.
TEST_F(TorchGradientTest, NarrowTypesFollowFloat32) {
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const auto gradients = [&](at::ScalarType of) {
      at::Generator generator = at::detail::createCPUGenerator(3);
      const auto leaf_of = [&](at::IntArrayRef shape) {
        // On a grid that both types hold.
        return at::randn(shape, generator, at::TensorOptions().dtype(at::kFloat))
            .mul(16)
            .round()
            .div(16)
            .to(of)
            .requires_grad_(true);
      };
      const std::vector<at::Tensor> leaves{leaf_of({67, 130}), leaf_of({70, 130}), leaf_of({70}),
                                           leaf_of({5, 130}),  leaf_of({70, 5}),   leaf_of({70})};
      const Tensor x = from_at(leaves[0]);
      const Tensor a = from_at(leaves[3]);
      const Tensor b = from_at(leaves[4]);
      const Tensor w = from_at(leaves[1]);
      const Tensor bias = from_at(leaves[2]);
      const LowRankTerm term{x, a, b, 0.5f};
      const LinearWeights weights{w, bias, {&term, 1}};
      Tensor y;
      ops::linear_all(context_, x, {&weights, 1}, {&y, 1});
      const Tensor normed = ops::rms_norm(context_, y, from_at(leaves[5]), 1e-5f);
      to_at(ops::silu_mul(context_, normed, y)).to(at::kFloat).sum().backward();
      std::vector<at::Tensor> found;
      for (const at::Tensor& each : leaves) found.push_back(each.grad().to(at::kFloat));
      return found;
    };
    const std::vector<at::Tensor> narrow = gradients(type);
    const std::vector<at::Tensor> wide = gradients(at::kFloat);
    for (std::size_t i = 0; i < wide.size(); ++i) {
      const auto error = (narrow[i] - wide[i]).norm().item<double>();
      EXPECT_LE(error, 2e-2 * wide[i].norm().item<double>()) << i << " " << at::toString(type);
    }
  }
}

TEST_F(TorchGradientTest, PatchEmbed) {
  check_gradient(
      {leaf({2, 3, 5, 5}), leaf({4, 3, 2, 2}), leaf({4})},
      [](Context& ctx, const auto& x) { return ops::patch_embed(ctx, x[0], x[1], x[2]); });
}

TEST_F(TorchGradientTest, Norms) {
  check_gradient({leaf({3, 8}), leaf({8})},
                 [](Context& ctx, const auto& x) { return ops::rms_norm(ctx, x[0], x[1], 1e-5f); });
  check_gradient({leaf({3, 8}), leaf({8}), leaf({8})}, [](Context& ctx, const auto& x) {
    return ops::layer_norm(ctx, x[0], x[1], x[2], 1e-5f);
  });
}

TEST_F(TorchGradientTest, Elementwise) {
  check_gradient({leaf({3, 8}), leaf({3, 8})},
                 [](Context& ctx, const auto& x) { return ops::silu_mul(ctx, x[0], x[1]); });
  check_gradient({leaf({3, 8}), leaf({3, 8})}, [](Context& ctx, const auto& x) {
    return ops::add_scaled(ctx, x[0], x[1], 0.5f);
  });
  for (const Activation kind :
       {Activation::kGelu, Activation::kGeluTanh, Activation::kQuickGelu, Activation::kSilu}) {
    check_gradient({leaf({3, 8})}, [kind](Context& ctx, const auto& x) {
      return ops::activation(ctx, x[0], kind);
    });
  }
}

TEST_F(TorchGradientTest, RopeAndAttention) {
  const std::vector<SequenceSlice> unequal{
      {.first_token = 0, .num_tokens = 3, .num_past = 0, .pages = {}},
      {.first_token = 3, .num_tokens = 2, .num_past = 0, .pages = {}}};
  const std::vector<SequenceSlice> whole{
      {.first_token = 0, .num_tokens = 5, .num_past = 0, .pages = {}}};
  const Tensor cos = from_at(at::randn({5, 4}));
  const Tensor sin = from_at(at::randn({5, 4}));
  const std::vector<SequenceSlice> shared{
      {.first_token = 0, .num_tokens = 2, .num_past = 0, .pages = {}},
      {.first_token = 2, .num_tokens = 2, .num_past = 2, .pages = {0, 1}},
      {.first_token = 4, .num_tokens = 1, .num_past = 2, .pages = {0, 1}}};
  for (const auto& sequences : {unequal, whole, shared}) {
    for (const int32_t window : {0, 2}) {
      const AttentionSpec spec{.scale = 0.5f, .is_causal = true, .window = window};
      check_gradient(
          {leaf({5, 4, 4}), leaf({5, 2, 4}), leaf({5, 2, 4})}, [&](Context& ctx, const auto& x) {
            return ops::attention(ctx, ops::rope(ctx, x[0], cos, sin), x[1], x[2], sequences, spec);
          });
    }
  }
}

TEST_F(TorchGradientTest, RowsAndViews) {
  const std::array<int32_t, 4> ids{2, 0, 2, 1};
  check_gradient({leaf({3, 4})}, [&](Context& ctx, const auto& x) {
    return ops::embedding(ctx, x[0], ids, x[0].dtype());
  });
  check_gradient({leaf({3, 4})},
                 [&](Context& ctx, const auto& x) { return ops::gather_rows(ctx, x[0], ids); });
  const std::array<int32_t, 2> rows{2, 0};
  check_gradient({leaf({3, 4}), leaf({2, 4})}, [&](Context& ctx, const auto& x) {
    return ops::scatter_rows(ctx, x[0], x[1], rows);
  });
  check_gradient({leaf({3, 4}), leaf({2, 4})}, [&](Context& ctx, const auto& x) {
    const std::array<Tensor, 3> parts{x[0].rows(1, 3), x[1], x[0].reshape({4, 3}).reshape({3, 4})};
    return ops::concat_rows(ctx, parts);
  });
  check_gradient({leaf({3, 4}), leaf({3, 2})}, [&](Context& ctx, const auto& x) {
    const std::array<Tensor, 2> parts{x[0], x[1]};
    return ops::concat_columns(ctx, parts);
  });
}

TEST_F(TorchGradientTest, CastKeepsTheGraph) {
  const at::Tensor x = leaf({3, 4});
  const Tensor narrow = ops::cast(context_, from_at(x), DType::kBFloat16);
  to_at(narrow).to(at::kFloat).sum().backward();
  EXPECT_TRUE(x.grad().eq(1).all().item().toBool());
}

TEST_F(TorchBackendTest, OperationsRecordNothingUntilAsked) {
  const Tensor x = from_at(leaf({3, 4}));
  EXPECT_FALSE(to_at(ops::add(context_, x, x)).requires_grad());
  record_gradients(*backend_, true);
  EXPECT_TRUE(to_at(ops::add(context_, x, x)).requires_grad());
  record_gradients(*backend_, false);
  EXPECT_FALSE(to_at(ops::add(context_, x, x)).requires_grad());
}

TEST_F(TorchBackendTest, WeightsMadeBeforeRecordingCanBeTrained) {
  const at::Tensor weight = to_at(ops::empty(context_, {4, 4}, DType::kFloat32)).zero_();
  weight.requires_grad_(true);
  record_gradients(*backend_, true);
  const Tensor x = Tensor::zeros({2, 4}, DType::kFloat32);
  to_at(ops::linear(context_, x, from_at(weight), {})).sum().backward();
  EXPECT_TRUE(weight.grad().defined());
}

TEST_F(TorchBackendTest, ConversionsShareMemory) {
  Tensor x = Tensor::zeros({2, 3}, DType::kFloat32);
  const at::Tensor wrapped = to_at(x.rows(1, 2));
  x.mutable_data<float>()[4] = 7.0f;
  EXPECT_EQ(wrapped.sizes(), (at::IntArrayRef{1, 3}));
  EXPECT_EQ(wrapped.select(0, 0).select(0, 1).item().toFloat(), 7.0f);

  const Tensor back = from_at(wrapped);
  EXPECT_EQ(back.data<float>().data(), x.data<float>().data() + 3);
}

TEST_F(TorchBackendTest, WrappedMemoryOutlivesItsTensor) {
  at::Tensor wrapped;
  {
    const std::vector<float> values{1.0f, 2.0f};
    wrapped = to_at(Tensor::from_floats({2}, values));
  }
  EXPECT_EQ(wrapped.sum().item().toFloat(), 3.0f);
}

TEST_F(TorchBackendTest, NonContiguousResultsAreCopied) {
  const at::Tensor x = at::randn({3, 4});
  const Tensor transposed = from_at(x.t());
  EXPECT_EQ(transposed.shape(), (Shape{4, 3}));
  EXPECT_TRUE(to_at(transposed).equal(x.t()));
}

TEST_F(TorchBackendTest, EveryDTypeSurvivesTheRoundTrip) {
  for (const DType dtype :
       {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kFloat64, DType::kInt64,
        DType::kInt32, DType::kInt16, DType::kInt8, DType::kUInt8, DType::kBool}) {
    EXPECT_EQ(from_at(to_at(Tensor::zeros({2}, dtype))).dtype(), dtype);
  }
}

TEST_F(TorchBackendTest, UnusableDeviceSaysWhatWasFound) {
  if (torch_cuda_available()) GTEST_SKIP() << "this machine has a CUDA device";
  try {
    make_torch_backend(Device{DeviceType::kCuda, 0}, 0);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnavailable);
    const std::string message = e.what();
    EXPECT_NE(message.find("'cuda'"), std::string::npos) << message;
    EXPECT_NE(message.find(torch_version()), std::string::npos) << message;
    EXPECT_NE(message.find("--device cpu"), std::string::npos) << message;
  }
}

TEST_F(TorchBackendTest, MpsNeedsAnApple) {
  if (torch_mps_available()) GTEST_SKIP() << "this machine has an Apple GPU";
  try {
    make_torch_backend(Device{DeviceType::kMps, 0}, 0);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnavailable);
  }
}

TEST_F(TorchBackendTest, NoMemoryIsResourceExhausted) {
  try {
    ops::empty(context_, {int64_t{1} << 20, int64_t{1} << 26}, DType::kFloat32);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kResourceExhausted) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
  }
}

TEST_F(TorchBackendTest, LibTorchErrorsAreTranslated) {
  // Past ops.h, which would have refused it.
  const Tensor x = Tensor::zeros({2, 3}, DType::kFloat32);
  const Tensor weight = Tensor::zeros({4, 5}, DType::kFloat32);
  try {
    backend_->linear(x, weight, {});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(e.what()).find("LibTorch"), std::string::npos) << e.what();
  }
}

TEST_F(TorchBackendTest, NegativeThreadCountIsRefused) {
  EXPECT_THROW(make_torch_backend(Device{}, -1), Error);
}

}  // namespace
}  // namespace llava
