// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/torch_backend.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <vector>

#include "llava/backend/torch/torch_device.h"
#include "llava/backend/torch/torch_operations.h"
#include "llava/backend/torch/torch_packed.h"
#include "llava/core/check.h"

namespace llava {

std::unique_ptr<Backend> make_torch_backend(Device device, int num_threads) {
  if (num_threads < 0) {
    fail(ErrorCode::kInvalidArgument, "thread count is {}, expected 0 (LibTorch's choice) or more",
         num_threads);
  }
  try {
    require_torch_device(device);
    configure_torch(num_threads);
  } catch (...) {
    rethrow_as_error();
  }
  return std::make_unique<TorchBackend>(device);
}

void record_gradients(Backend& backend, bool is_recording) {
  auto* torch_backend = dynamic_cast<TorchBackend*>(&backend);
  if (torch_backend == nullptr) {
    fail(ErrorCode::kInvalidArgument,
         "the {} backend cannot record gradients: training needs the torch backend",
         backend.name());
  }
  torch_backend->record_gradients(is_recording);
}

at::Tensor TorchBackend::use(const Tensor& x) const {
  LLAVA_CHECK(x.device() == device_, "argument is on another device; move it with from_host");
  return to_at(x);
}

const Tensor& TorchBackend::use_packed(const Tensor& x) const {
  LLAVA_CHECK(x.device() == device_, "argument is on another device; move it with from_host");
  return x;
}

at::Tensor TorchBackend::index_tensor(std::span<const int32_t> indices) const {
  // The conversion to int64 copies, so the caller's memory is free when this returns.
  return at::from_blob(const_cast<int32_t*>(indices.data()), {static_cast<int64_t>(indices.size())},
                       at::TensorOptions().dtype(at::kInt))
      .to(at::TensorOptions().dtype(at::kLong).device(torch_device(device_)));
}

// The three below make tensors that outlive a grad mode (weights, caches), so they never run under
// InferenceMode: autograd refuses its tensors.
Tensor TorchBackend::from_host(const Tensor& x) {
  if (x.device() == device_) return x;
  try {
    if (is_packed(x.dtype())) return packed_to_device(x, torch_device(device_));
    return from_at(to_at(x).to(torch_device(device_)));
  } catch (...) {
    rethrow_as_error();
  }
}

Tensor TorchBackend::to_host(const Tensor& x) {
  if (x.device() == Device{}) return x;
  try {
    if (is_packed(x.dtype())) return packed_to_device(x, at::kCPU);
    return from_at(to_at(x).to(at::kCPU));
  } catch (...) {
    rethrow_as_error();
  }
}

Tensor TorchBackend::empty(const Shape& shape, DType dtype) {
  try {
    return from_at(at::empty(
        shape, at::TensorOptions().dtype(scalar_type(dtype)).device(torch_device(device_))));
  } catch (...) {
    rethrow_as_error();
  }
}

Tensor TorchBackend::cast(const Tensor& x, DType dtype) {
  return run([&] { return from_at(use(x).to(scalar_type(dtype))); });
}

void TorchBackend::write_rows(Tensor& target, int64_t first_row, const Tensor& rows) {
  run([&] {
    const c10::InferenceMode inference;
    use(target).narrow(0, first_row, rows.dim(0)).copy_(use(rows));
  });
}

Tensor TorchBackend::gather_rows(const Tensor& x, std::span<const int32_t> rows) {
  return run([&] { return from_at(use(x).index_select(0, index_tensor(rows))); });
}

Tensor TorchBackend::scatter_rows(const Tensor& x, const Tensor& source,
                                  std::span<const int32_t> rows) {
  return run([&] { return from_at(use(x).index_copy(0, index_tensor(rows), use(source))); });
}

Tensor TorchBackend::concat(std::span<const Tensor> parts, int64_t dim) const {
  return run([&] {
    std::vector<at::Tensor> tensors;
    tensors.reserve(parts.size());
    for (const Tensor& part : parts) tensors.push_back(use(part));
    return from_at(at::cat(tensors, dim));
  });
}

Tensor TorchBackend::concat_rows(std::span<const Tensor> parts) { return concat(parts, 0); }
Tensor TorchBackend::concat_columns(std::span<const Tensor> parts) { return concat(parts, -1); }

}  // namespace llava
