// SPDX-License-Identifier: Apache-2.0
#include "llava/train/dropout.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

namespace llava::train {
namespace {

TEST(DropoutTest, DropsItsShareAndKeepsTheMean) {
  const at::Tensor y = dropout(at::ones({1000, 101}), 0.25, {.seed = 3});
  const double dropped = (y == 0).sum().item<double>() / static_cast<double>(y.numel());
  EXPECT_NEAR(dropped, 0.25, 0.01);
  EXPECT_NEAR(y.mean().item<double>(), 1.0, 0.01);
  EXPECT_NEAR(y.max().item<double>(), 1.0 / 0.75, 1e-6);
}

TEST(DropoutTest, IsAFunctionOfItsKey) {
  const at::Tensor x = at::ones({64, 77});
  const DropoutKey key{.seed = 9, .micro_step = 4, .place = 2};
  EXPECT_TRUE(dropout(x, 0.5, key).equal(dropout(x, 0.5, key)));
  EXPECT_FALSE(
      dropout(x, 0.5, key).equal(dropout(x, 0.5, {.seed = 8, .micro_step = 4, .place = 2})));
  EXPECT_FALSE(
      dropout(x, 0.5, key).equal(dropout(x, 0.5, {.seed = 9, .micro_step = 5, .place = 2})));
  EXPECT_FALSE(
      dropout(x, 0.5, key).equal(dropout(x, 0.5, {.seed = 9, .micro_step = 4, .place = 3})));
}

TEST(DropoutTest, NoneIsTheInputItself) {
  const at::Tensor x = at::ones({3});
  EXPECT_TRUE(dropout(x, 0.0, {}).is_same(x));
}

}  // namespace
}  // namespace llava::train
