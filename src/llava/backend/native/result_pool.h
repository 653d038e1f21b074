// SPDX-License-Identifier: Apache-2.0
//
// Memory of results that is used again. A forward pass makes the same tensors layer after layer and
// step after step; from the allocator each large one would come as new pages, which the system
// fills with zeros first (a sixth of the prefill of a small model).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "llava/tensor/tensor.h"

namespace llava::native {

/// Threads: safe; tensors may outlive the pool and may be dropped on any thread.
class ResultPool {
 public:
  /// Most memory that lies idle; a buffer that would make it more empties the pool instead.
  static constexpr std::size_t kMaxIdleBytes = std::size_t{256} << 20;

  /// Smaller results are the allocator's: it has memory at hand for them.
  static constexpr std::size_t kMinPooledBytes = std::size_t{128} << 10;
  /// A buffer that lay idle while this many results of any size were made is freed soon after: some
  /// forty steps of a model of 32 layers, so that what a passing peak needed does not stay.
  static constexpr uint64_t kMaxIdleTakes = uint64_t{1} << 14;

  ResultPool();

  /// Uninitialised host memory, aligned to 64 bytes; it comes back when its last tensor is gone.
  ///
  /// Throws: Error(kResourceExhausted) when the memory is not to be had, with none left idle.
  Tensor empty(Shape shape, DType dtype);
  /// Bytes that lie idle now.
  std::size_t idle_bytes() const;

 private:
  struct Buffer {
    std::byte* base = nullptr;  ///< from malloc
    std::size_t size = 0;       ///< usable bytes behind the alignment
    uint64_t last_used = 0;
  };
  class Idle;
  class PooledStorage;

  std::shared_ptr<Idle> idle_;
};

}  // namespace llava::native
