// SPDX-License-Identifier: Apache-2.0
#include "llava/train/contrastive_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/log_softmax.h>

namespace llava::train {

at::Tensor clip_loss(const at::Tensor& logits_NN, const at::Tensor& is_pair_NN) {
  const at::Tensor pairs = is_pair_NN.to(logits_NN.scalar_type());
  const auto along = [&](int64_t dim) {
    const at::Tensor share = pairs / pairs.sum(dim, /*keepdim=*/true);
    return -(share * at::log_softmax(logits_NN, dim)).sum() / logits_NN.size(0);
  };
  return (along(1) + along(0)) * 0.5;
}

at::Tensor siglip_loss(const at::Tensor& logits_NN, const at::Tensor& is_pair_NN) {
  const at::Tensor sign = is_pair_NN.to(logits_NN.scalar_type()) * 2.0 - 1.0;
  return -at::log_sigmoid(sign * logits_NN).sum() / logits_NN.size(0);
}

}  // namespace llava::train
