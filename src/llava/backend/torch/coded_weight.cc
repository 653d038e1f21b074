// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/coded_weight.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace llava {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The codes, in the form that an autograd context can hold.
struct HeldCodes : torch::CustomClassHolder {
  explicit HeldCodes(std::shared_ptr<const CodedStorage> s) : storage(std::move(s)) {}
  std::shared_ptr<const CodedStorage> storage;
};

class CodedLinear : public torch::autograd::Function<CodedLinear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TI,
                            const c10::intrusive_ptr<HeldCodes>& held,
                            const std::optional<at::Tensor>& bias_O) {
    ctx->saved_data["codes"] = c10::IValue::make_capsule(
        c10::static_intrusive_pointer_cast<torch::CustomClassHolder>(held));
    return at::linear(x_TI, held->storage->decode(), bias_O);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto held =
        c10::static_intrusive_pointer_cast<HeldCodes>(ctx->saved_data["codes"].toCapsule());
    return {at::matmul(gradients[0], held->storage->decode()), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

std::shared_ptr<const CodedStorage> coded_storage(const Tensor& x) {
  return std::dynamic_pointer_cast<const CodedStorage>(x.storage());
}

at::Tensor coded_linear(const at::Tensor& x_TI, std::shared_ptr<const CodedStorage> weight_OI,
                        const std::optional<at::Tensor>& bias_O) {
  if (!at::GradMode::is_enabled()) return at::linear(x_TI, weight_OI->decode(), bias_O);
  return CodedLinear::apply(x_TI, c10::make_intrusive<HeldCodes>(std::move(weight_OI)), bias_O);
}

}  // namespace llava
