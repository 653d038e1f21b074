// SPDX-License-Identifier: Apache-2.0
#include "llava/train/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

namespace llava::train {

Gradients::Gradients(std::vector<TrainedParameter>& parameters, ParameterShards& shards,
                     bool sends_value_type)
    : parameters_(parameters),
      shards_(shards),
      sends_value_type_(sends_value_type),
      sums_(parameters.size()) {}

void Gradients::collect() {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& leaf = parameters_[i].value;
    const at::Tensor& gradient = leaf.grad();
    if (!gradient.defined()) continue;
    if (gradient.scalar_type() == at::kFloat) {
      sums_[i] = gradient;
      continue;
    }
    sums_[i] = sums_[i].defined() ? sums_[i].add_(gradient) : gradient.to(at::kFloat);
    leaf.mutable_grad().reset();
  }
}

void Gradients::reduce() {
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (!sums_[i].defined()) sums_[i] = at::zeros_like(parameters_[i].value.detach(), at::kFloat);
  }
  owned_ = shards_.sum(sums_, sends_value_type_);
}

double Gradients::squared_norm() const {
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (const at::Tensor& gradient : owned_) {
    const auto norm =
        at::linalg_vector_norm(gradient, 2, std::nullopt, false, at::kDouble).item<double>();
    sum += norm * norm;
  }
  return sum;
}

void Gradients::scale(double factor) {
  const at::NoGradGuard no_grad;
  for (at::Tensor& gradient : owned_) gradient.mul_(factor);
}

void Gradients::clear() {
  owned_.clear();
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    sums_[i].reset();
    parameters_[i].value.mutable_grad().reset();
  }
}

}  // namespace llava::train
