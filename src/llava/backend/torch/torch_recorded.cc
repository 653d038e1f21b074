// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/torch_recorded.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/function.h>

#include <algorithm>

#include "llava/backend/torch/torch_products.h"
#include "llava/core/check.h"
#include "llava/kernels/dispatch.h"

namespace llava {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Node;
using torch::autograd::variable_list;

// Elements that are worth a thread.
constexpr int64_t kGrain = 32768;
// Rows whose shares of a weight's gradient are summed before they meet the others': the places do
// not depend on the number of threads.
constexpr int64_t kRowsPerSum = 256;

kernels::Format format_of(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return kernels::kFormatF32;
    case at::kHalf:
      return kernels::kFormatF16;
    case at::kBFloat16:
      return kernels::kFormatBF16;
    default:
      fail(ErrorCode::kInternal, "no kernels for {}", at::toString(x.scalar_type()));
  }
}

// An autograd function takes no undefined tensors: an empty one stands for what is not there.
at::Tensor or_empty(const at::Tensor& x) { return x.defined() ? x : at::empty({0}); }
bool is_there(const at::Tensor& x) { return x.numel() > 0; }

at::Tensor silu_mul(const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor out = at::empty_like(gate);
  const kernels::SiluMulFn kernel = kernels::active().silu_mul[format_of(gate)];
  const auto* a = static_cast<const char*>(gate.const_data_ptr());
  const auto* b = static_cast<const char*>(up.const_data_ptr());
  auto* y = static_cast<char*>(out.mutable_data_ptr());
  const auto item = static_cast<int64_t>(gate.element_size());
  at::parallel_for(0, gate.numel(), kGrain, [&](int64_t begin, int64_t end) {
    kernel(a + begin * item, b + begin * item, y + begin * item, end - begin);
  });
  return out;
}

class SiluMul : public torch::autograd::Function<SiluMul> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up) {
    ctx->save_for_backward({gate, up});
    return silu_mul(gate, up);
  }

  static at::Tensor result(const AutogradContext& ctx) {
    const variable_list saved = ctx.get_saved_variables();
    return silu_mul(saved[0], saved[1]);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& outputs) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor gradient = outputs[0].contiguous();
    at::Tensor gate_gradient = at::empty_like(saved[0]);
    at::Tensor up_gradient = at::empty_like(saved[1]);
    const kernels::SiluMulGradientFn kernel =
        kernels::active().silu_mul_gradient[format_of(gradient)];
    const auto* a = static_cast<const char*>(saved[0].const_data_ptr());
    const auto* b = static_cast<const char*>(saved[1].const_data_ptr());
    const auto* g = static_cast<const char*>(gradient.const_data_ptr());
    auto* a_out = static_cast<char*>(gate_gradient.mutable_data_ptr());
    auto* b_out = static_cast<char*>(up_gradient.mutable_data_ptr());
    const auto item = static_cast<int64_t>(gradient.element_size());
    at::parallel_for(0, gradient.numel(), kGrain, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * item;
      kernel(a + at, b + at, g + at, a_out + at, b_out + at, end - begin);
    });
    return {gate_gradient, up_gradient};
  }
};

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, float epsilon) {
  at::Tensor out = at::empty_like(x);
  const kernels::RmsNormFn kernel = kernels::active().rms_norm[format_of(x)];
  const int64_t width = x.size(-1);
  const auto stride = width * static_cast<int64_t>(x.element_size());
  const auto* in = static_cast<const char*>(x.const_data_ptr());
  auto* y = static_cast<char*>(out.mutable_data_ptr());
  at::parallel_for(0, x.numel() / width, kGrain / width + 1, [&](int64_t begin, int64_t end) {
    kernel(in + begin * stride, weight.const_data_ptr(), epsilon, y + begin * stride, end - begin,
           width);
  });
  return out;
}

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["epsilon"] = epsilon;
    return rms_norm(x, weight, static_cast<float>(epsilon));
  }

  static at::Tensor result(AutogradContext& ctx) {
    const variable_list saved = ctx.get_saved_variables();
    return rms_norm(saved[0], saved[1], static_cast<float>(ctx.saved_data["epsilon"].toDouble()));
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& outputs) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& weight = saved[1];
    const auto epsilon = static_cast<float>(ctx->saved_data["epsilon"].toDouble());
    const at::Tensor gradient = outputs[0].contiguous();
    at::Tensor x_gradient = at::empty_like(x);
    const int64_t width = x.size(-1);
    const int64_t num_rows = x.numel() / width;
    const int64_t num_sums = (num_rows + kRowsPerSum - 1) / kRowsPerSum;
    at::Tensor sums;
    if (ctx->needs_input_grad(1))
      sums = at::zeros({num_sums, width}, x.options().dtype(at::kFloat));
    const kernels::RmsNormGradientFn kernel =
        kernels::active().rms_norm_gradient[format_of(gradient)];
    const auto stride = width * static_cast<int64_t>(x.element_size());
    const auto* in = static_cast<const char*>(x.const_data_ptr());
    const auto* g = static_cast<const char*>(gradient.const_data_ptr());
    auto* out = static_cast<char*>(x_gradient.mutable_data_ptr());
    float* all_sums = sums.defined() ? sums.mutable_data_ptr<float>() : nullptr;
    at::parallel_for(0, num_sums, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = i * kRowsPerSum;
        kernel(in + row * stride, weight.const_data_ptr(), epsilon, g + row * stride,
               out + row * stride, all_sums == nullptr ? nullptr : all_sums + i * width,
               std::min(kRowsPerSum, num_rows - row), width);
      }
    });
    at::Tensor weight_gradient;
    if (sums.defined()) weight_gradient = sums.sum(0).to(weight.scalar_type());
    return {x_gradient, weight_gradient, at::Tensor()};
  }
};

// The function that computed x, if it can do it again from what it keeps for its own gradient.
template <class Function>
AutogradContext* context_of(Node* producer) {
  auto* node = dynamic_cast<torch::autograd::CppNode<Function>*>(producer);
  return node == nullptr ? nullptr : &node->ctx_;
}

bool can_be_computed_again(Node* producer) {
  return context_of<SiluMul>(producer) != nullptr || context_of<RmsNorm>(producer) != nullptr;
}

at::Tensor computed_again(Node* producer) {
  if (auto* context = context_of<SiluMul>(producer)) return SiluMul::result(*context);
  auto* context = context_of<RmsNorm>(producer);
  LLAVA_CHECK(context != nullptr, "the input of a product was not kept");
  return RmsNorm::result(*context);
}

// Keeps no input that its own function can compute again: half of what a decoder block would keep.
class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_TI,
                            const at::Tensor& weight_OI, const at::Tensor& bias_O,
                            const at::Tensor& low_x_TI, const at::Tensor& a_RI,
                            const at::Tensor& b_OR, double scale) {
    at::Tensor y_TO = product(x_TI, weight_OI, is_there(bias_O) ? bias_O : at::Tensor());
    at::Tensor low_TR;
    const bool sees_own = !is_there(low_x_TI);
    if (is_there(a_RI)) {
      low_TR = product(sees_own ? x_TI : low_x_TI, a_RI);
      add_product(y_TO, low_TR, b_OR, scale);
    }
    const bool needs_x = weight_OI.requires_grad() || (is_there(a_RI) && sees_own);
    const bool keeps = needs_x && !can_be_computed_again(x_TI.grad_fn().get());
    ctx->save_for_backward({keeps ? x_TI : at::Tensor(), weight_OI, low_x_TI, a_RI, b_OR, low_TR});
    ctx->saved_data["needs_x"] = needs_x;
    ctx->saved_data["scale"] = scale;
    return y_TO;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& outputs) {
    const variable_list saved = ctx->get_saved_variables();
    at::Tensor x = saved[0];
    if (!x.defined() && ctx->saved_data["needs_x"].toBool()) {
      x = computed_again(torch::autograd::get_current_node()->next_edge(0).function.get());
    }
    const at::Tensor& weight = saved[1];
    const at::Tensor& low_x = saved[2];
    const at::Tensor& a = saved[3];
    const at::Tensor& b = saved[4];
    const double scale = ctx->saved_data["scale"].toDouble();
    const at::Tensor dy = outputs[0].contiguous();
    variable_list gradients(7);
    if (ctx->needs_input_grad(0)) gradients[0] = product_with_columns(dy, weight);
    if (ctx->needs_input_grad(1)) gradients[1] = product_over_rows(dy, x);
    if (ctx->needs_input_grad(2)) gradients[2] = dy.sum(0);
    if (!is_there(a)) return gradients;
    const at::Tensor low_gradient = product_with_columns(dy, b).mul_(scale);
    if (ctx->needs_input_grad(4)) {
      gradients[4] = product_over_rows(low_gradient, is_there(low_x) ? low_x : x);
    }
    if (ctx->needs_input_grad(5)) gradients[5] = product_over_rows(dy, saved[5]).mul_(scale);
    if (is_there(low_x)) {
      if (ctx->needs_input_grad(3)) gradients[3] = product_with_columns(low_gradient, a);
    } else if (ctx->needs_input_grad(0)) {
      add_product(gradients[0], low_gradient, a.t(), 1.0);
    }
    return gradients;
  }
};

at::Tensor turn(const at::Tensor& x_THE, const at::Tensor& cos_TE, const at::Tensor& sin_TE) {
  at::Tensor out = at::empty_like(x_THE);
  const kernels::RopeFn kernel = kernels::active().rope[format_of(x_THE)];
  const int64_t num_heads = x_THE.size(1);
  const int64_t width = x_THE.size(2);
  const auto item = static_cast<int64_t>(x_THE.element_size());
  const auto* x = static_cast<const char*>(x_THE.const_data_ptr());
  const auto* cos = static_cast<const char*>(cos_TE.const_data_ptr());
  const auto* sin = static_cast<const char*>(sin_TE.const_data_ptr());
  auto* y = static_cast<char*>(out.mutable_data_ptr());
  at::parallel_for(0, x_THE.size(0), kGrain / (num_heads * width) + 1,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t t = begin; t < end; ++t) {
                       const int64_t row = t * num_heads * width * item;
                       const int64_t angle = t * width * item;
                       kernel(x + row, cos + angle, sin + angle, y + row, num_heads, width);
                     }
                   });
  return out;
}

class Rope : public torch::autograd::Function<Rope> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_THE, const at::Tensor& cos_TE,
                            const at::Tensor& sin_TE) {
    ctx->save_for_backward({cos_TE, sin_TE});
    return turn(x_THE, cos_TE, sin_TE);
  }

  // The transposed turn: element i takes its partner's sine, with the other sign.
  static variable_list backward(AutogradContext* ctx, const variable_list& outputs) {
    const variable_list saved = ctx->get_saved_variables();
    const int64_t half = saved[1].size(1) / 2;
    const at::Tensor sin_TE =
        at::cat({saved[1].narrow(1, half, half), saved[1].narrow(1, 0, half)}, 1).neg();
    return {turn(outputs[0].contiguous(), saved[0], sin_TE), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor recorded_linear(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                           const at::Tensor& bias_O, const RecordedLowRank& low_rank) {
  return Linear::apply(x_TI, weight_OI, or_empty(bias_O), or_empty(low_rank.x_TI),
                       or_empty(low_rank.a_RI), or_empty(low_rank.b_OR), low_rank.scale);
}

at::Tensor recorded_silu_mul(const at::Tensor& gate, const at::Tensor& up) {
  return SiluMul::apply(gate, up);
}

at::Tensor recorded_rms_norm(const at::Tensor& x, const at::Tensor& weight, float epsilon) {
  return RmsNorm::apply(x, weight, static_cast<double>(epsilon));
}

at::Tensor recorded_rope(const at::Tensor& x_THE, const at::Tensor& cos_TE,
                         const at::Tensor& sin_TE) {
  return Rope::apply(x_THE, cos_TE, sin_TE);
}

}  // namespace llava
