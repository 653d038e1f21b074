// SPDX-License-Identifier: Apache-2.0
//
// Both losses against PyTorch's from the papers' pseudocode (tests/data/train).
#include "llava/train/contrastive_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/train/contrastive_batches.h"
#include "support/paths.h"

namespace llava::train {
namespace {

TEST(ContrastiveLossTest, EqualsThePapersPseudocode) {
  const Json cases = read_json_file(test_data() / "train/contrastive_losses.json");
  ASSERT_EQ(cases.size(), 6u);
  for (const Json& c : cases) {
    const auto captions = c.at("captions").get<std::vector<int32_t>>();
    const auto size = static_cast<int64_t>(captions.size());
    at::Tensor logits = at::tensor(c.at("logits").get<std::vector<float>>());
    logits = logits.reshape({size, size}).requires_grad_(true);
    const auto name = c.at("loss").get<std::string>();
    const at::Tensor pairs = pairs_of(captions);
    const at::Tensor loss = name == "clip" ? clip_loss(logits, pairs) : siglip_loss(logits, pairs);
    loss.backward();
    const double expected = c.at("value").get<double>();
    EXPECT_NEAR(loss.item<double>(), expected, 1e-5 * (1 + expected)) << name;
    const auto gradient = c.at("gradient").get<std::vector<float>>();
    const at::Tensor found = logits.grad().reshape({-1});
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      EXPECT_NEAR(found[static_cast<int64_t>(i)].item<float>(), gradient[i], 1e-6f)
          << name << " " << size << " " << i;
    }
  }
}

}  // namespace
}  // namespace llava::train
