// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/native/scratch.h"

#include <cstdlib>

#include "llava/core/error.h"

namespace llava::native {

void ScratchPool::Free::operator()(std::byte* memory) const noexcept { std::free(memory); }

ScratchPool::Lease::Lease(ScratchPool& pool, std::size_t size) : pool_(pool) {
  pool_.state_.with([&](State& state) {
    if (!state.idle.empty()) {
      buffer_ = std::move(state.idle.back());
      state.idle.pop_back();
    } else {
      state.idle.reserve(++state.num_buffers);
    }
  });
  if (buffer_.size >= size) return;
  const std::size_t rounded = (size + 63) / 64 * 64;
  buffer_.memory.reset(static_cast<std::byte*>(std::aligned_alloc(64, rounded)));
  buffer_.size = buffer_.memory == nullptr ? 0 : rounded;
  if (buffer_.memory == nullptr) {
    give_back();
    fail(ErrorCode::kResourceExhausted, "out of memory: {} bytes of working memory", rounded);
  }
}

ScratchPool::Lease::~Lease() { give_back(); }

void ScratchPool::Lease::give_back() noexcept {
  // The constructor made room for every buffer, so this does not allocate.
  pool_.state_.with([&](State& state) { state.idle.push_back(std::move(buffer_)); });
}

}  // namespace llava::native
