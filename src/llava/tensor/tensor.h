// SPDX-License-Identifier: Apache-2.0
//
// Tensor: a small value of shape, dtype and shared storage. It has no operators; the operations in
// tensor/ops.h are the vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "llava/tensor/dtype.h"

namespace llava {

/// Dimensions of a tensor, outermost first; the data is contiguous and row-major.
using Shape = std::vector<int64_t>;

/// "[2, 3, 64]".
std::string to_text(const Shape& shape);

/// Bytes of a tensor of this shape and dtype, packed forms with their padding.
///
/// Throws: Error(kInternal) when that is no tensor or the size does not fit.
int64_t tensor_bytes(const Shape& shape, DType dtype);

/// Memory of one or more tensors. A backend that keeps tensors elsewhere derives from it.
class Storage {
 public:
  virtual ~Storage() = default;
  virtual Device device() const noexcept { return {}; }
  /// Bytes the processor can read, or null when the memory is a device's.
  virtual std::byte* host_data() noexcept = 0;
  virtual int64_t num_bytes() const noexcept = 0;
  /// The memory is not the process's own: pages of a mapped file, which the system may drop.
  virtual bool is_foreign() const noexcept { return false; }
};

/// A packed matrix (tensor/packed.h) has its logical shape [outputs, inputs]; it is taken whole:
/// bytes() is its layout, and it has no rows, other shapes or elements to hand out.
///
/// Threads: a value; sharing one storage between threads is safe as long as nobody writes.
class Tensor {
 public:
  /// No tensor: `is_defined()` is false.
  Tensor() = default;
  /// A view of `storage` from element `offset` on.
  ///
  /// Throws: Error(kInternal) when the storage is too small.
  Tensor(std::shared_ptr<Storage> storage, DType dtype, Shape shape, int64_t offset = 0);

  /// Uninitialised host memory, aligned to 64 bytes.
  ///
  /// Throws: Error(kResourceExhausted) when the memory is not to be had.
  static Tensor empty(Shape shape, DType dtype);
  /// Host memory of zeros.
  static Tensor zeros(Shape shape, DType dtype);
  /// A host copy of `values`.
  static Tensor from_floats(Shape shape, std::span<const float> values);
  /// A view of foreign host memory that `owner` keeps alive, for example a mapped file. The memory
  /// is never written through it.
  static Tensor view_of(std::shared_ptr<const void> owner, std::span<const std::byte> bytes,
                        Shape shape, DType dtype);

  bool is_defined() const noexcept { return storage_ != nullptr; }
  const Shape& shape() const noexcept { return shape_; }
  /// Size of one dimension; negative counts from the end.
  int64_t dim(int index) const;
  int rank() const noexcept { return static_cast<int>(shape_.size()); }
  int64_t numel() const noexcept { return numel_; }
  int64_t num_bytes() const noexcept { return num_bytes_; }
  DType dtype() const noexcept { return dtype_; }
  Device device() const noexcept;
  const std::shared_ptr<Storage>& storage() const noexcept { return storage_; }
  /// First element's position in the storage, in elements.
  int64_t offset() const noexcept { return offset_; }

  /// The same elements under another shape of equal size; one dimension may be -1.
  Tensor reshape(Shape shape) const;
  /// Rows [begin, end) of the outermost dimension, sharing the storage.
  Tensor rows(int64_t begin, int64_t end) const;

  /// Elements in host memory. Throws: Error(kInternal) for a device tensor or another type.
  template <class T>
  std::span<const T> data() const;
  template <class T>
  std::span<T> mutable_data();
  /// Raw bytes in host memory.
  std::span<const std::byte> bytes() const;
  std::span<std::byte> mutable_bytes();

 private:
  std::byte* host_begin() const;
  void check_item_size(std::size_t size) const;

  std::shared_ptr<Storage> storage_;
  Shape shape_;
  int64_t numel_ = 0;
  int64_t num_bytes_ = 0;
  int64_t offset_ = 0;
  DType dtype_ = DType::kFloat32;
};

template <class T>
std::span<const T> Tensor::data() const {
  check_item_size(sizeof(T));
  return {reinterpret_cast<const T*>(host_begin()), static_cast<std::size_t>(numel_)};
}

template <class T>
std::span<T> Tensor::mutable_data() {
  check_item_size(sizeof(T));
  return {reinterpret_cast<T*>(host_begin()), static_cast<std::size_t>(numel_)};
}

/// Host copy (or the tensor itself) with its elements as float32; any floating dtype.
Tensor host_to_float32(const Tensor& x);
/// Host conversion between float32, float16, bfloat16 and float64, round to nearest even; the
/// tensor itself when it already has the dtype.
Tensor host_cast(const Tensor& x, DType dtype);

}  // namespace llava
