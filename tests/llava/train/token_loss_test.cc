// SPDX-License-Identifier: Apache-2.0
#include "llava/train/token_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <vector>

#include "llava/core/error.h"

namespace llava::train {
namespace {

struct Case {
  at::Tensor hidden, head;
  std::vector<int64_t> targets;
};

Case make_case(int64_t rows, int64_t width, int64_t vocabulary) {
  Case c{at::randn({rows, width}), at::randn({vocabulary, width}), {}};
  for (int64_t i = 0; i < rows; ++i) c.targets.push_back((i * 7919) % vocabulary);
  return c;
}

double relative(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).norm() / expected.norm()).item<double>();
}

// LibTorch's own loss over whole logits is the oracle.
TEST(TokenLossTest, EqualsTheLossOverWholeLogits) {
  for (const auto& [rows, vocabulary] :
       {std::pair<int64_t, int64_t>{1, 11}, {37, 300}, {70, 300'000}}) {
    Case c = make_case(rows, 8, vocabulary);
    at::Tensor hidden = c.hidden.clone().requires_grad_(true);
    at::Tensor head = c.head.clone().requires_grad_(true);
    const at::Tensor sum = summed_cross_entropy(hidden, head, c.targets);
    (sum * 0.5).backward();
    at::Tensor hidden2 = c.hidden.clone().requires_grad_(true);
    at::Tensor head2 = c.head.clone().requires_grad_(true);
    const at::Tensor targets = at::tensor(c.targets);
    const at::Tensor whole =
        at::cross_entropy_loss(at::matmul(hidden2, head2.t()), targets, {}, at::Reduction::Sum);
    (whole * 0.5).backward();
    EXPECT_NEAR(sum.item<double>(), whole.item<double>(), 1e-5 * whole.item<double>());
    EXPECT_LT(relative(hidden.grad(), hidden2.grad()), 1e-5);
    EXPECT_LT(relative(head.grad(), head2.grad()), 1e-5);
  }
}

TEST(TokenLossTest, AFrozenHeadGetsNoGradient) {
  Case c = make_case(5, 4, 9);
  at::Tensor hidden = c.hidden.clone().requires_grad_(true);
  summed_cross_entropy(hidden, c.head, c.targets).backward();
  EXPECT_TRUE(hidden.grad().defined());
  EXPECT_FALSE(c.head.grad().defined());
}

TEST(TokenLossTest, WithoutRecordingThereIsTheLossAlone) {
  Case c = make_case(5, 4, 9);
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(summed_cross_entropy(c.hidden, c.head, c.targets).requires_grad());
}

TEST(TokenLossTest, RefusesTargetsOutsideTheVocabulary) {
  Case c = make_case(2, 4, 9);
  c.targets[1] = 9;
  EXPECT_THROW(summed_cross_entropy(c.hidden, c.head, c.targets), Error);
}

}  // namespace
}  // namespace llava::train
