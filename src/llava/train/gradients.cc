// SPDX-License-Identifier: Apache-2.0
#include "llava/train/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

namespace llava::train {

Gradients::Gradients(std::vector<TrainedParameter>& parameters)
    : parameters_(parameters), sums_(parameters.size()) {}

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

const std::vector<at::Tensor>& Gradients::all() {
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    if (!sums_[i].defined()) sums_[i] = at::zeros_like(parameters_[i].master.detach());
  }
  return sums_;
}

double Gradients::norm() {
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (const at::Tensor& gradient : all()) {
    const auto norm =
        at::linalg_vector_norm(gradient, 2, std::nullopt, false, at::kDouble).item<double>();
    sum += norm * norm;
  }
  return std::sqrt(sum);
}

void Gradients::scale(double factor) {
  const at::NoGradGuard no_grad;
  all();
  for (at::Tensor& gradient : sums_) gradient.mul_(factor);
}

void Gradients::clear() {
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    sums_[i].reset();
    parameters_[i].value.mutable_grad().reset();
  }
}

}  // namespace llava::train
