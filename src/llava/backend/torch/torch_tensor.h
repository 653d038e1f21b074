// SPDX-License-Identifier: Apache-2.0
//
// Conversions between llava::Tensor and at::Tensor, without copies where the memory allows it. Only
// for `backend/torch`, `train` and their tests.
#pragma once

#include <ATen/core/Tensor.h>

#include "llava/tensor/tensor.h"

namespace llava {

/// Memory that is an at::Tensor, contiguous and of any rank. A Tensor over it with an offset or
/// another shape is a differentiable view of it.
class TorchStorage final : public Storage {
 public:
  explicit TorchStorage(at::Tensor tensor);

  Device device() const noexcept override;
  std::byte* host_data() noexcept override;
  int64_t num_bytes() const noexcept override;
  const at::Tensor& tensor() const noexcept { return tensor_; }

 private:
  at::Tensor tensor_;
};

/// The at::Tensor of `x`: the stored one or a view of it that autograd follows; the matrix that
/// codes stand for (coded_weight.h), made anew; a host tensor of other storage is wrapped without a
/// copy and its storage kept alive. Never write through the latter: it may be a mapped file.
///
/// Throws: Error(kInternal) when `x` is undefined or does not have the stored dtype.
at::Tensor to_at(const Tensor& x);
/// A Tensor over `x`, which keeps its place in the autograd graph; copied only when not contiguous.
///
/// Throws: Error(kUnsupported) for an element type that is not one of DType.
Tensor from_at(const at::Tensor& x);

at::ScalarType scalar_type(DType dtype);
at::Device torch_device(Device device);

}  // namespace llava
