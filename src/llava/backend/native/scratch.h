// SPDX-License-Identifier: Apache-2.0
//
// Working memory of the kernels: buffers that the parts of an operation borrow, as many as there
// are threads at work, kept for the next operation.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "llava/core/guarded.h"

namespace llava::native {

/// Threads: safe.
class ScratchPool {
 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept;
  };
  struct Buffer {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t size = 0;
  };
  struct State {
    std::vector<Buffer> idle;
    std::size_t num_buffers = 0;
  };

 public:
  /// A borrowed buffer; it goes back to the pool at the end of its life.
  class Lease {
   public:
    /// See borrow().
    Lease(ScratchPool& pool, std::size_t size);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    /// Aligned to 64 bytes.
    std::byte* data() const noexcept { return buffer_.memory.get(); }

   private:
    void give_back() noexcept;

    ScratchPool& pool_;
    Buffer buffer_;
  };

  /// A buffer of at least `size` bytes with unspecified contents.
  ///
  /// Throws: Error(kResourceExhausted) when the memory is not to be had.
  Lease borrow(std::size_t size) { return Lease(*this, size); }

 private:
  Guarded<State> state_;
};

}  // namespace llava::native
