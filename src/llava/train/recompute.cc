// SPDX-License-Identifier: Apache-2.0
#include "llava/train/recompute.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>

namespace llava::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Function = std::function<at::Tensor(const at::Tensor&)>;

// The function, in the form that an autograd context can hold.
struct HeldFunction : torch::CustomClassHolder {
  explicit HeldFunction(Function f) : function(std::move(f)) {}
  Function function;
};

class Recompute : public torch::autograd::Function<Recompute> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x,
                            const c10::intrusive_ptr<HeldFunction>& held) {
    const at::NoGradGuard no_grad;
    ctx->save_for_backward({x});
    ctx->saved_data["function"] = c10::IValue::make_capsule(
        c10::static_intrusive_pointer_cast<torch::CustomClassHolder>(held));
    return held->function(x);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    const auto held =
        c10::static_intrusive_pointer_cast<HeldFunction>(ctx->saved_data["function"].toCapsule());
    const at::AutoGradMode recording(true);
    at::Tensor x = ctx->get_saved_variables()[0].detach();
    x.requires_grad_(true);
    const at::Tensor y = held->function(x);
    torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor recompute_in_backward(const Function& function, const at::Tensor& x) {
  return Recompute::apply(x, c10::make_intrusive<HeldFunction>(function));
}

}  // namespace llava::train
