// SPDX-License-Identifier: Apache-2.0
#include "llava/train/token_loss.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "llava/backend/torch/torch_products.h"
#include "llava/core/check.h"

namespace llava::train {
namespace {

// Logits held at once: 64 MiB in float32.
constexpr int64_t kChunkElements = int64_t{1} << 24;

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class SummedCrossEntropy : public torch::autograd::Function<SummedCrossEntropy> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden_ND,
                            const at::Tensor& head_VD, const at::Tensor& targets_N,
                            bool needs_hidden, bool needs_head) {
    const at::NoGradGuard no_grad;
    const int64_t num_rows = hidden_ND.size(0);
    const int64_t chunk = std::max<int64_t>(1, kChunkElements / head_VD.size(0));
    at::Tensor sum = at::zeros({}, hidden_ND.options().dtype(at::kFloat));
    at::Tensor hidden_gradient, head_gradient;
    if (needs_hidden) hidden_gradient = at::empty(hidden_ND.sizes(), hidden_ND.options());
    if (needs_head) head_gradient = at::zeros_like(head_VD);
    for (int64_t begin = 0; begin < num_rows; begin += chunk) {
      const int64_t size = std::min(chunk, num_rows - begin);
      const at::Tensor rows_CD = hidden_ND.narrow(0, begin, size);
      const at::Tensor targets_C1 = targets_N.narrow(0, begin, size).unsqueeze(1);
      at::Tensor log_probs_CV = at::log_softmax(product(rows_CD, head_VD), 1, at::kFloat);
      sum -= log_probs_CV.gather(1, targets_C1).sum();
      if (!needs_hidden && !needs_head) continue;
      // d loss / d logits = softmax - one-hot, in place of what is no longer needed.
      at::Tensor gradient_CV = log_probs_CV.exp_();
      gradient_CV.scatter_add_(1, targets_C1,
                               at::zeros_like(targets_C1, gradient_CV.options()).fill_(-1.0));
      gradient_CV = gradient_CV.to(hidden_ND.scalar_type());
      if (needs_hidden) {
        hidden_gradient.narrow(0, begin, size).copy_(product_with_columns(gradient_CV, head_VD));
      }
      if (needs_head) head_gradient += product_over_rows(gradient_CV, rows_CD);
    }
    ctx->save_for_backward({hidden_gradient, head_gradient});
    return sum;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& outputs) {
    const variable_list saved = ctx->get_saved_variables();
    variable_list gradients(5);
    for (std::size_t i = 0; i < 2; ++i) {
      if (saved[i].defined()) gradients[i] = saved[i] * outputs[0].to(saved[i].scalar_type());
    }
    return gradients;
  }
};

}  // namespace

at::Tensor summed_cross_entropy(const at::Tensor& hidden_ND, const at::Tensor& head_VD,
                                std::span<const int64_t> targets) {
  const int64_t vocabulary = head_VD.size(0);
  LLAVA_CHECK(hidden_ND.size(0) == static_cast<int64_t>(targets.size()));
  for (const int64_t target : targets) {
    LLAVA_CHECK(target >= 0 && target < vocabulary, "target {} of {}", target, vocabulary);
  }
  const at::Tensor targets_N =
      at::from_blob(const_cast<int64_t*>(targets.data()), {static_cast<int64_t>(targets.size())},
                    at::TensorOptions().dtype(at::kLong))
          .clone()
          .to(hidden_ND.device());
  const bool is_recording = at::GradMode::is_enabled();
  return SummedCrossEntropy::apply(hidden_ND, head_VD, targets_N,
                                   is_recording && hidden_ND.requires_grad(),
                                   is_recording && head_VD.requires_grad());
}

}  // namespace llava::train
