// SPDX-License-Identifier: Apache-2.0
#include "llava/train/recompute.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "llava/train/dropout.h"

namespace llava::train {
namespace {

// Dropout included: its mask is the same when it is drawn again.
TEST(RecomputeTest, GradientsAreThoseOfTheRecordedPass) {
  const at::Tensor start = at::randn({5, 8});
  const at::Tensor matrix = at::randn({8, 8});
  at::Tensor gradients[2][2];
  at::Tensor values[2];
  for (const bool recomputes : {false, true}) {
    at::Tensor x = start.clone().requires_grad_(true);
    at::Tensor weight = matrix.clone().requires_grad_(true);
    int calls = 0;
    const auto layer = [&](const at::Tensor& in) {
      ++calls;
      return at::matmul(dropout(in, 0.3, {.seed = 5, .micro_step = 2, .place = 1}), weight).tanh();
    };
    at::Tensor y = x;
    for (int i = 0; i < 3; ++i) y = recomputes ? recompute_in_backward(layer, y) : layer(y);
    y.sum().backward();
    EXPECT_EQ(calls, recomputes ? 6 : 3);
    values[recomputes] = y.detach();
    gradients[recomputes][0] = x.grad();
    gradients[recomputes][1] = weight.grad();
  }
  EXPECT_TRUE(values[0].equal(values[1]));
  EXPECT_TRUE(gradients[0][0].equal(gradients[1][0]));
  EXPECT_TRUE(gradients[0][1].equal(gradients[1][1]));
}

}  // namespace
}  // namespace llava::train
