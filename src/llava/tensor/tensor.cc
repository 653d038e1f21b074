// SPDX-License-Identifier: Apache-2.0
#include "llava/tensor/tensor.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/checked_math.h"
#include "llava/core/float_formats.h"
#include "llava/core/large_pages.h"
#include "llava/tensor/packed.h"

namespace llava {
namespace {

constexpr std::size_t kAlignment = 64;

class OwnedStorage final : public Storage {
 public:
  explicit OwnedStorage(int64_t num_bytes) : num_bytes_(num_bytes) {
    // Aligned by hand: glibc's aligned_alloc does not take a freed block of the same size again, so
    // that every large result would fault in new pages (bench/results/native_vs_libtorch.md).
    std::size_t room = static_cast<std::size_t>(num_bytes) + kAlignment;
    base_ = std::malloc(room);
    void* aligned = base_;
    data_ = static_cast<std::byte*>(
        std::align(kAlignment, static_cast<std::size_t>(num_bytes), aligned, room));
    if (data_ == nullptr) {
      fail(ErrorCode::kResourceExhausted, "out of memory: {} bytes for a tensor", num_bytes);
    }
    // Key and value pages and repacked weights are read a little at a time from many places, which
    // small pages slow down.
    request_large_pages(data_, static_cast<std::size_t>(num_bytes));
  }
  ~OwnedStorage() override { std::free(base_); }
  OwnedStorage(const OwnedStorage&) = delete;
  OwnedStorage& operator=(const OwnedStorage&) = delete;

  std::byte* host_data() noexcept override { return data_; }
  int64_t num_bytes() const noexcept override { return num_bytes_; }

 private:
  void* base_;
  std::byte* data_;
  int64_t num_bytes_;
};

class ForeignStorage final : public Storage {
 public:
  ForeignStorage(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}

  // Tensor hands out mutable access only through mutable_data, which nobody calls on a weight.
  std::byte* host_data() noexcept override { return const_cast<std::byte*>(bytes_.data()); }
  int64_t num_bytes() const noexcept override { return static_cast<int64_t>(bytes_.size()); }
  bool is_foreign() const noexcept override { return true; }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
};

int64_t checked_numel(const Shape& shape) {
  const auto numel = checked_product(shape);
  LLAVA_CHECK(numel.has_value(), "shape {}", to_text(shape));
  return *numel;
}

}  // namespace

std::string to_text(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

int64_t tensor_bytes(const Shape& shape, DType dtype) {
  const auto bytes = is_packed(dtype) ? packed_bytes(dtype, shape)
                                      : checked_mul(checked_numel(shape), item_size(dtype));
  LLAVA_CHECK(bytes.has_value(), "{} of shape {}", dtype_name(dtype), to_text(shape));
  return *bytes;
}

Tensor::Tensor(std::shared_ptr<Storage> storage, DType dtype, Shape shape, int64_t offset)
    : storage_(std::move(storage)),
      shape_(std::move(shape)),
      numel_(checked_numel(shape_)),
      num_bytes_(tensor_bytes(shape_, dtype)),
      offset_(offset),
      dtype_(dtype) {
  LLAVA_CHECK(storage_ != nullptr && offset >= 0 && (offset == 0 || !is_packed(dtype)), "offset {}",
              offset);
  const auto begin_bytes = checked_mul(offset, item_size(dtype));
  const auto end_bytes = begin_bytes ? checked_add(*begin_bytes, num_bytes_) : std::nullopt;
  LLAVA_CHECK(end_bytes.has_value() && *end_bytes <= storage_->num_bytes(),
              "storage of {} bytes, shape {}, offset {}", storage_->num_bytes(), to_text(shape_),
              offset);
}

Tensor Tensor::empty(Shape shape, DType dtype) {
  const int64_t bytes = tensor_bytes(shape, dtype);
  return Tensor(std::make_shared<OwnedStorage>(bytes), dtype, std::move(shape));
}

Tensor Tensor::zeros(Shape shape, DType dtype) {
  Tensor tensor = empty(std::move(shape), dtype);
  std::memset(tensor.mutable_bytes().data(), 0, tensor.mutable_bytes().size());
  return tensor;
}

Tensor Tensor::from_floats(Shape shape, std::span<const float> values) {
  Tensor tensor = empty(std::move(shape), DType::kFloat32);
  LLAVA_CHECK(tensor.numel() == static_cast<int64_t>(values.size()));
  std::ranges::copy(values, tensor.mutable_data<float>().begin());
  return tensor;
}

Tensor Tensor::view_of(std::shared_ptr<const void> owner, std::span<const std::byte> bytes,
                       Shape shape, DType dtype) {
  return Tensor(std::make_shared<ForeignStorage>(std::move(owner), bytes), dtype, std::move(shape));
}

int64_t Tensor::dim(int index) const {
  const int position = index < 0 ? index + rank() : index;
  LLAVA_CHECK(position >= 0 && position < rank(), "dimension {} of {}", index, to_text(shape_));
  return shape_[static_cast<std::size_t>(position)];
}

Device Tensor::device() const noexcept { return storage_ ? storage_->device() : Device{}; }

Tensor Tensor::reshape(Shape shape) const {
  int64_t known = 1;
  int64_t* unknown = nullptr;
  for (int64_t& dim : shape) {
    if (dim == -1) {
      LLAVA_CHECK(unknown == nullptr);
      unknown = &dim;
    } else {
      known *= dim;
    }
  }
  if (unknown != nullptr) *unknown = known == 0 ? 0 : numel_ / known;
  LLAVA_CHECK(checked_numel(shape) == numel_ && !is_packed(dtype_), "{} {} to {}",
              dtype_name(dtype_), to_text(shape_), to_text(shape));
  return Tensor(storage_, dtype_, std::move(shape), offset_);
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  LLAVA_CHECK(rank() >= 1 && begin >= 0 && begin <= end && end <= shape_[0] && !is_packed(dtype_),
              "rows [{}, {}) of {} {}", begin, end, dtype_name(dtype_), to_text(shape_));
  Shape shape = shape_;
  shape[0] = end - begin;
  const int64_t row = shape_[0] == 0 ? 0 : numel_ / shape_[0];
  return Tensor(storage_, dtype_, std::move(shape), offset_ + begin * row);
}

std::byte* Tensor::host_begin() const {
  LLAVA_CHECK(is_defined());
  std::byte* data = storage_->host_data();
  LLAVA_CHECK(data != nullptr || numel_ == 0, "tensor is not in host memory");
  return data + offset_ * item_size(dtype_);
}

void Tensor::check_item_size(std::size_t size) const {
  LLAVA_CHECK(static_cast<int64_t>(size) == item_size(dtype_), "dtype {}", dtype_name(dtype_));
}

std::span<const std::byte> Tensor::bytes() const {
  return {host_begin(), static_cast<std::size_t>(num_bytes())};
}

std::span<std::byte> Tensor::mutable_bytes() {
  return {host_begin(), static_cast<std::size_t>(num_bytes())};
}

Tensor host_to_float32(const Tensor& x) { return host_cast(x, DType::kFloat32); }

Tensor host_cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor floats = x;
  const auto count = static_cast<std::size_t>(x.numel());
  if (x.dtype() != DType::kFloat32) {
    floats = Tensor::empty(x.shape(), DType::kFloat32);
    float* out = floats.mutable_data<float>().data();
    if (x.dtype() == DType::kFloat16) {
      const uint16_t* in = x.data<uint16_t>().data();
      for (std::size_t i = 0; i < count; ++i) out[i] = float_from_f16(in[i]);
    } else if (x.dtype() == DType::kBFloat16) {
      const uint16_t* in = x.data<uint16_t>().data();
      for (std::size_t i = 0; i < count; ++i) out[i] = float_from_bf16(in[i]);
    } else if (x.dtype() == DType::kFloat64) {
      const double* in = x.data<double>().data();
      for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(in[i]);
    } else {
      fail(ErrorCode::kUnsupported, "cannot convert a {} tensor to {}", dtype_name(x.dtype()),
           dtype_name(dtype));
    }
  }
  if (dtype == DType::kFloat32) return floats;
  Tensor result = Tensor::empty(x.shape(), dtype);
  const float* in = floats.data<float>().data();
  if (dtype == DType::kFloat16) {
    uint16_t* out = result.mutable_data<uint16_t>().data();
    for (std::size_t i = 0; i < count; ++i) out[i] = f16_from_float(in[i]);
  } else if (dtype == DType::kBFloat16) {
    uint16_t* out = result.mutable_data<uint16_t>().data();
    for (std::size_t i = 0; i < count; ++i) out[i] = bf16_from_float(in[i]);
  } else if (dtype == DType::kFloat64) {
    double* out = result.mutable_data<double>().data();
    for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<double>(in[i]);
  } else {
    fail(ErrorCode::kUnsupported, "cannot convert a {} tensor to {}", dtype_name(x.dtype()),
         dtype_name(dtype));
  }
  return result;
}

}  // namespace llava
