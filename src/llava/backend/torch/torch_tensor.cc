// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/torch/torch_tensor.h"

#include <ATen/ops/from_blob.h>

#include <array>
#include <memory>
#include <utility>

#include "llava/backend/torch/coded_weight.h"
#include "llava/core/check.h"

namespace llava {
namespace {

struct DTypeRow {
  DType dtype;
  at::ScalarType scalar_type;
};

constexpr std::array<DTypeRow, 10> kDTypes{{
    {DType::kFloat32, at::kFloat},
    {DType::kFloat16, at::kHalf},
    {DType::kBFloat16, at::kBFloat16},
    {DType::kFloat64, at::kDouble},
    {DType::kInt64, at::kLong},
    {DType::kInt32, at::kInt},
    {DType::kInt16, at::kShort},
    {DType::kInt8, at::kChar},
    {DType::kUInt8, at::kByte},
    {DType::kBool, at::kBool},
}};

DType dtype_of(at::ScalarType type) {
  for (const DTypeRow& row : kDTypes) {
    if (row.scalar_type == type) return row.dtype;
  }
  fail(ErrorCode::kUnsupported, "LibTorch tensor of element type {} has no counterpart",
       c10::toString(type));
}

}  // namespace

at::ScalarType scalar_type(DType dtype) {
  for (const DTypeRow& row : kDTypes) {
    if (row.dtype == dtype) return row.scalar_type;
  }
  fail(ErrorCode::kInternal, "unknown dtype {}", static_cast<int>(dtype));
}

at::Device torch_device(Device device) {
  switch (device.type) {
    case DeviceType::kCuda:
      return {at::kCUDA, static_cast<c10::DeviceIndex>(device.index)};
    case DeviceType::kMps:
      return {at::kMPS, 0};
    case DeviceType::kCpu:
      break;
  }
  return at::kCPU;
}

TorchStorage::TorchStorage(at::Tensor tensor) : tensor_(std::move(tensor)) {
  LLAVA_CHECK(tensor_.defined() && tensor_.is_contiguous());
}

Device TorchStorage::device() const noexcept {
  const at::Device device = tensor_.device();
  if (device.is_cuda()) return {DeviceType::kCuda, device.index()};
  if (device.is_mps()) return {DeviceType::kMps, 0};
  return {};
}

std::byte* TorchStorage::host_data() noexcept {
  return tensor_.is_cpu() ? static_cast<std::byte*>(tensor_.data_ptr()) : nullptr;
}

int64_t TorchStorage::num_bytes() const noexcept {
  return tensor_.numel() * static_cast<int64_t>(tensor_.element_size());
}

at::Tensor to_at(const Tensor& x) {
  LLAVA_CHECK(x.is_defined());
  if (const auto* storage = dynamic_cast<const TorchStorage*>(x.storage().get())) {
    const at::Tensor& stored = storage->tensor();
    LLAVA_CHECK(stored.scalar_type() == scalar_type(x.dtype()), "{} over {}", dtype_name(x.dtype()),
                c10::toString(stored.scalar_type()));
    if (stored.sizes() == at::IntArrayRef(x.shape())) return stored;
    return stored.reshape({-1}).narrow(0, x.offset(), x.numel()).view(x.shape());
  }
  if (const auto codes = coded_storage(x)) return codes->decode().view(x.shape());
  LLAVA_CHECK(x.device() == Device{}, "tensor of another backend's device");
  std::byte* data = x.storage()->host_data() + x.offset() * item_size(x.dtype());
  return at::from_blob(
      data, x.shape(), [storage = x.storage()](void*) {},
      at::TensorOptions().dtype(scalar_type(x.dtype())));
}

Tensor from_at(const at::Tensor& x) {
  const at::Tensor contiguous = x.contiguous();
  const DType dtype = dtype_of(contiguous.scalar_type());
  return Tensor(std::make_shared<TorchStorage>(contiguous), dtype, contiguous.sizes().vec());
}

}  // namespace llava
