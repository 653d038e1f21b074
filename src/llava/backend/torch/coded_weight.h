// SPDX-License-Identifier: Apache-2.0
//
// Frozen matrices that are held in codes and become floats for as long as an operation runs: what
// training beside a quantised base needs (arXiv:2305.14314). The codes are the derived class's.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

#include "llava/tensor/tensor.h"

namespace llava {

/// Stands for a float matrix. A Tensor over it has the dtype and shape of that matrix and may be
/// the weight of a linear layer; to_at makes the matrix.
///
/// Threads: const, safe to share.
class CodedStorage : public Storage {
 public:
  /// Bytes of the float matrix, which Tensor checks its shape against.
  explicit CodedStorage(int64_t decoded_bytes) : decoded_bytes_(decoded_bytes) {}

  std::byte* host_data() noexcept override { return nullptr; }
  int64_t num_bytes() const noexcept override { return decoded_bytes_; }
  /// The matrix [O, I], new memory on the codes' device.
  virtual at::Tensor decode() const = 0;
  /// Bytes that the codes take.
  virtual int64_t coded_bytes() const = 0;

 private:
  int64_t decoded_bytes_;
};

/// The codes that a tensor stands for; null for one that is no such tensor.
std::shared_ptr<const CodedStorage> coded_storage(const Tensor& x);

/// x W^T + b where the backward pass makes W again instead of keeping it. Gradients flow to x
/// alone.
at::Tensor coded_linear(const at::Tensor& x_TI, std::shared_ptr<const CodedStorage> weight_OI,
                        const std::optional<at::Tensor>& bias_O);

}  // namespace llava
