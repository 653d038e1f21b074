// SPDX-License-Identifier: Apache-2.0
#include "llava/train/adamw.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "llava/core/check.h"

namespace llava::train {
namespace {

// Elements that one thread takes at a time.
constexpr int64_t kGrain = 16384;

// The scalars of one step of one group, rounded as the published library's are: computed in double,
// applied in float32.
struct Factors {
  float keep;         // 1 - rate * weight decay
  float beta1_rest;   // 1 - beta1
  float beta2;        //
  float beta2_rest;   // 1 - beta2
  float correction2;  // sqrt(1 - beta2^t)
  float epsilon;      //
  float step_size;    // -rate / (1 - beta1^t)
};

void update_range(const Factors& f, const float* gradient, float* value, float* first,
                  float* second, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const float g = gradient[i];
    const float decayed = value[i] * f.keep;
    const float m = first[i] + f.beta1_rest * (g - first[i]);
    const float v = second[i] * f.beta2 + (f.beta2_rest * g) * g;
    first[i] = m;
    second[i] = v;
    value[i] = decayed + f.step_size * (m / (std::sqrt(v) / f.correction2 + f.epsilon));
  }
}

// On a device the same steps by LibTorch's operations.
void update_tensor(const Factors& f, const at::Tensor& gradient, at::Tensor& value,
                   at::Tensor& first, at::Tensor& second) {
  value.mul_(f.keep);
  first.lerp_(gradient, f.beta1_rest);
  second.mul_(f.beta2).addcmul_(gradient, gradient, f.beta2_rest);
  value.addcdiv_(first, (second.sqrt() / f.correction2).add_(f.epsilon), f.step_size);
}

}  // namespace

AdamW::AdamW(std::vector<TrainedParameter>& parameters, std::vector<ParameterGroup> groups,
             const AdamSettings& settings)
    : parameters_(parameters), groups_(std::move(groups)), settings_(settings) {
  for (const TrainedParameter& parameter : parameters_) {
    first_moments_.push_back(at::zeros_like(parameter.master.detach()));
    second_moments_.push_back(at::zeros_like(parameter.master.detach()));
  }
}

void AdamW::step(const std::vector<at::Tensor>& gradients, const std::vector<double>& rates) {
  LLAVA_CHECK(gradients.size() == parameters_.size() && rates.size() == groups_.size());
  const at::NoGradGuard no_grad;
  ++num_steps_;
  const auto t = static_cast<double>(num_steps_);
  const double correction1 = 1.0 - std::pow(settings_.beta1, t);
  const double correction2 = 1.0 - std::pow(settings_.beta2, t);
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const Factors factors{
        .keep = static_cast<float>(1.0 - rates[g] * groups_[g].weight_decay),
        .beta1_rest = static_cast<float>(1.0 - settings_.beta1),
        .beta2 = static_cast<float>(settings_.beta2),
        .beta2_rest = static_cast<float>(1.0 - settings_.beta2),
        .correction2 = static_cast<float>(std::sqrt(correction2)),
        .epsilon = static_cast<float>(settings_.epsilon),
        .step_size = static_cast<float>(-(rates[g] / correction1)),
    };
    for (const std::size_t i : groups_[g].members) {
      TrainedParameter& parameter = parameters_[i];
      const at::Tensor gradient = gradients[i].contiguous();
      LLAVA_CHECK(
          gradient.scalar_type() == at::kFloat && gradient.sizes() == parameter.master.sizes(),
          "gradient of {}", parameter.name);
      at::Tensor value = parameter.master.detach();
      if (value.is_cpu()) {
        const auto* g_data = gradient.const_data_ptr<float>();
        auto* p = value.mutable_data_ptr<float>();
        auto* m = first_moments_[i].mutable_data_ptr<float>();
        auto* v = second_moments_[i].mutable_data_ptr<float>();
        at::parallel_for(0, value.numel(), kGrain, [&](int64_t begin, int64_t end) {
          update_range(factors, g_data, p, m, v, begin, end);
        });
      } else {
        update_tensor(factors, gradient, value, first_moments_[i], second_moments_[i]);
      }
      if (parameter.value.scalar_type() != at::kFloat) parameter.value.detach().copy_(value);
    }
  }
}

}  // namespace llava::train
