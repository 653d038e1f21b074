// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/native/result_pool.h"

#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/guarded.h"

namespace llava::native {
namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

/// Buffers that no tensor uses.
class ResultPool::Idle {
 public:
  ~Idle() { clear(); }

  /// The smallest buffer that fits and is at most an eighth too large, or a new one.
  Buffer take(std::size_t size) {
    const Buffer found = state_.with([&](State& state) {
      Buffer* best = nullptr;
      for (Buffer& buffer : state.buffers) {
        if (buffer.size < size || buffer.size > size + size / 8) continue;
        if (best == nullptr || buffer.size < best->size) best = &buffer;
      }
      if (best == nullptr) return Buffer{};
      const Buffer taken = *best;
      *best = state.buffers.back();
      state.buffers.pop_back();
      state.bytes -= taken.size;
      return taken;
    });
    return found.base != nullptr ? found : allocate(size);
  }

  void give_back(const Buffer& buffer) noexcept {
    const bool is_kept = state_.with([&](State& state) {
      if (state.bytes + buffer.size > kMaxIdleBytes) return false;
      try {
        state.buffers.push_back(buffer);
      } catch (const std::bad_alloc&) {
        return false;
      }
      state.bytes += buffer.size;
      return true;
    });
    if (is_kept) return;
    std::free(buffer.base);
    clear();
  }

  std::size_t bytes() const {
    return state_.with([](const State& state) { return state.bytes; });
  }

 private:
  struct State {
    std::vector<Buffer> buffers;
    std::size_t bytes = 0;
  };

  Buffer allocate(std::size_t size) {
    // Not aligned_alloc; tensor.cc says why.
    void* base = std::malloc(size + kAlignment);
    if (base == nullptr) {
      clear();
      base = std::malloc(size + kAlignment);
    }
    if (base == nullptr) {
      fail(ErrorCode::kResourceExhausted, "out of memory: {} bytes for a result", size);
    }
    return {static_cast<std::byte*>(base), size};
  }

  void clear() noexcept {
    state_.with([](State& state) {
      for (const Buffer& buffer : state.buffers) std::free(buffer.base);
      state.buffers.clear();
      state.bytes = 0;
    });
  }

  Guarded<State> state_;
};

/// One buffer in use.
class ResultPool::PooledStorage final : public Storage {
 public:
  PooledStorage(std::shared_ptr<Idle> idle, std::size_t size)
      : idle_(std::move(idle)), buffer_(idle_->take(size)) {}
  ~PooledStorage() override { idle_->give_back(buffer_); }
  PooledStorage(const PooledStorage&) = delete;
  PooledStorage& operator=(const PooledStorage&) = delete;

  std::byte* host_data() noexcept override {
    const auto address = reinterpret_cast<std::uintptr_t>(buffer_.base);
    return buffer_.base + (kAlignment - address % kAlignment);
  }
  int64_t num_bytes() const noexcept override { return static_cast<int64_t>(buffer_.size); }

 private:
  std::shared_ptr<Idle> idle_;
  Buffer buffer_;
};

ResultPool::ResultPool() : idle_(std::make_shared<Idle>()) {}

Tensor ResultPool::empty(Shape shape, DType dtype) {
  const auto size = static_cast<std::size_t>(tensor_bytes(shape, dtype));
  return Tensor(std::make_shared<PooledStorage>(idle_, size), dtype, std::move(shape));
}

std::size_t ResultPool::idle_bytes() const { return idle_->bytes(); }

}  // namespace llava::native
