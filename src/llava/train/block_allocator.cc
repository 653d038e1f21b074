// SPDX-License-Identifier: Apache-2.0
#include "llava/train/block_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace llava::train {
namespace {

struct Block {
  void* start = nullptr;
  std::size_t num_bytes = 0;
};

// All blocks of the process: tensors outlive whoever made them.
class Blocks {
 public:
  void* take(std::size_t num_bytes) {
    const std::scoped_lock lock(mutex_);
    Block block = take_idle(num_bytes);
    if (block.start == nullptr) {
      make_room(num_bytes);
      block = {
          ::mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
          num_bytes};
      TORCH_CHECK(block.start != MAP_FAILED, "can't allocate memory: ", num_bytes, " bytes");
    }
    used_.emplace(block.start, block.num_bytes);
    bytes_.used += block.num_bytes;
    most_used_ = std::max(most_used_, bytes_.used);
    return block.start;
  }

  // False if it is none of these blocks.
  bool free(void* start) {
    const std::scoped_lock lock(mutex_);
    const auto found = used_.find(start);
    if (found == used_.end()) return false;
    idle_.push_back({start, found->second});
    bytes_.used -= found->second;
    bytes_.idle += found->second;
    used_.erase(found);
    return true;
  }

  // As if nothing had been made yet but what is in use.
  void release_idle() {
    const std::scoped_lock lock(mutex_);
    keep_idle(0);
    most_used_ = bytes_.used;
  }

  BlockBytes bytes() const {
    const std::scoped_lock lock(mutex_);
    return bytes_;
  }

 private:
  // The smallest that fits, of these the one that was freed last.
  Block take_idle(std::size_t num_bytes) {
    auto best = idle_.rend();
    for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
      if (it->num_bytes < num_bytes || it->num_bytes > num_bytes + num_bytes / 8) continue;
      if (best == idle_.rend() || it->num_bytes < best->num_bytes) best = it;
      if (best->num_bytes == num_bytes) break;
    }
    if (best == idle_.rend()) return {};
    const Block block = *best;
    idle_.erase(std::next(best).base());
    bytes_.idle -= block.num_bytes;
    return block;
  }

  // For a new block: the longest idle ones go first.
  void make_room(std::size_t num_bytes) {
    const std::size_t used = bytes_.used + num_bytes;
    const std::size_t most = std::max(most_used_, used);
    keep_idle(most + most / 16 - used);
  }

  void keep_idle(std::size_t most) {
    auto it = idle_.begin();
    for (; it != idle_.end() && bytes_.idle > most; ++it) {
      ::munmap(it->start, it->num_bytes);
      bytes_.idle -= it->num_bytes;
    }
    idle_.erase(idle_.begin(), it);
  }

  mutable std::mutex mutex_;
  std::unordered_map<void*, std::size_t> used_;
  std::vector<Block> idle_;  // in the order in which they were freed
  BlockBytes bytes_;
  std::size_t most_used_ = 0;
};

Blocks& blocks() {
  static auto* const all = new Blocks;
  return *all;
}

// LibTorch frees some memory by the allocator instead of by its pointer: one function for all
// sizes.
void release(void* start) {
  if (blocks().free(start)) {
    c10::profiledCPUMemoryReporter().Delete(start);
  } else {
    c10::GetDefaultCPUAllocator()->raw_deallocate(start);
  }
}

}  // namespace

c10::DataPtr BlockAllocator::allocate(std::size_t num_bytes) {
  void* start = nullptr;
  if (num_bytes < kLeastBytes) {
    start = c10::GetDefaultCPUAllocator()->raw_allocate(num_bytes);
  } else {
    start = blocks().take(num_bytes);
    // LibTorch's profiler and our memory plan count what is reported.
    c10::profiledCPUMemoryReporter().New(start, num_bytes);
  }
  return {start, start, release, c10::Device(c10::kCPU)};
}

c10::DeleterFnPtr BlockAllocator::raw_deleter() const { return release; }

void BlockAllocator::copy_data(void* dest, const void* src, std::size_t count) const {
  default_copy_data(dest, src, count);
}

void BlockAllocator::release_idle() { blocks().release_idle(); }

BlockBytes BlockAllocator::bytes() const { return blocks().bytes(); }

BlockAllocator& use_block_allocator() {
  static BlockAllocator* const allocator = [] {
    auto* made = new BlockAllocator;
    c10::SetCPUAllocator(made);
    return made;
  }();
  return *allocator;
}

}  // namespace llava::train
