// SPDX-License-Identifier: Apache-2.0
//
// Memory for LibTorch's tensors on the processor. The C library's heap keeps gaps between blocks of
// a step's many sizes (a sixth of a run's memory), or asks the system for fresh pages at each use.
#pragma once

#include <cstddef>

#include <c10/core/Allocator.h>

namespace llava::train {

/// What the blocks of the process take.
struct BlockBytes {
  std::size_t used = 0;
  std::size_t idle = 0;  ///< freed, for later requests of about their size
};

/// Blocks of a megabyte and more from the system; smaller ones from LibTorch's own allocator.
///
/// A freed block serves a later request of its size or up to an eighth less. Where none fits, the
/// blocks that have been idle longest go back to the system, so that all blocks together never take
/// more than the largest use so far and a sixteenth of it.
///
/// Throws: c10::Error "can't allocate memory".   Threads: safe.
class BlockAllocator : public c10::Allocator {
 public:
  static constexpr std::size_t kLeastBytes = std::size_t{1} << 20;

  c10::DataPtr allocate(std::size_t num_bytes) override;
  c10::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* dest, const void* src, std::size_t count) const override;

  /// Gives all idle blocks back to the system.
  void release_idle();

  BlockBytes bytes() const;
};

/// The allocator that LibTorch uses from the first call on, for tensors that are made later.
///
/// Threads: safe.
BlockAllocator& use_block_allocator();

}  // namespace llava::train
