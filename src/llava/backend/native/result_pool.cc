// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/native/result_pool.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/guarded.h"

namespace llava::native {
namespace {

constexpr std::size_t kAlignment = 64;
// Results made between two looks for buffers that lay idle too long.
constexpr uint64_t kTakesPerLook = 1024;

// Sizes are rounded up to one of eight per power of two, so that steps of many different lengths
// share buffers instead of leaving one of every size behind.
std::size_t rounded(std::size_t size) {
  if (size < ResultPool::kMinPooledBytes) return size;
  const std::size_t unit = std::bit_floor(size) / 8;
  return (size + unit - 1) / unit * unit;
}

}  // namespace

/// Buffers that no tensor uses.
class ResultPool::Idle {
 public:
  ~Idle() { clear(); }

  /// A buffer of the rounded size.
  Buffer take(std::size_t wanted) {
    const std::size_t size = rounded(wanted);
    if ((clock_.fetch_add(1, std::memory_order_relaxed) + 1) % kTakesPerLook == 0) drop_unused();
    if (size < kMinPooledBytes) return allocate(size);
    const Buffer found = state_.with([&](State& state) {
      // From the back: what is not needed any more stays unused at the front.
      const auto buffer = std::find_if(state.buffers.rbegin(), state.buffers.rend(),
                                       [&](const Buffer& b) { return b.size == size; });
      if (buffer == state.buffers.rend()) return Buffer{};
      const Buffer taken = *buffer;
      state.buffers.erase(std::next(buffer).base());
      state.bytes -= taken.size;
      return taken;
    });
    return found.base != nullptr ? found : allocate(size);
  }

  void give_back(Buffer buffer) noexcept {
    if (buffer.size < kMinPooledBytes) {
      std::free(buffer.base);
      return;
    }
    const bool is_kept = state_.with([&](State& state) {
      if (state.bytes + buffer.size > kMaxIdleBytes) return false;
      buffer.last_used = clock_.load(std::memory_order_relaxed);
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
    std::vector<Buffer> buffers;  ///< least recently used first
    std::size_t bytes = 0;
  };

  // What a passing peak needed must not stay for good, though only small results be made after it.
  void drop_unused() noexcept {
    const uint64_t now = clock_.load(std::memory_order_relaxed);
    state_.with([&](State& state) {
      auto& buffers = state.buffers;
      const auto end = std::ranges::find_if(
          buffers, [&](const Buffer& b) { return b.last_used + kMaxIdleTakes >= now; });
      for (auto buffer = buffers.begin(); buffer != end; ++buffer) {
        state.bytes -= buffer->size;
        std::free(buffer->base);
      }
      buffers.erase(buffers.begin(), end);
    });
  }

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
  std::atomic<uint64_t> clock_ = 0;  ///< results made so far
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
