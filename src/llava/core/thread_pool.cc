// SPDX-License-Identifier: Apache-2.0
#include "llava/core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "llava/core/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace llava {
namespace {

// How long a worker spins for the next job before it sleeps in the kernel. Operations of one
// forward pass follow each other within microseconds; a wake-up through the kernel costs more.
constexpr int kSpinRounds = 4000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int threads_from_environment() {
  const char* text = std::getenv("LLAVA_THREADS");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 1 || value > 4096) {
    fail(ErrorCode::kInvalidArgument,
         "environment variable LLAVA_THREADS is '{}', expected a number from 1 to 4096", text);
  }
  return static_cast<int>(value);
}

int default_thread_count() {
  const int from_environment = threads_from_environment();
  if (from_environment > 0) return from_environment;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

struct ThreadPool::State {
  // A job is published by raising `generation`; workers that see it draw parts from `next_part`
  // and lower `num_running` when none are left.
  std::atomic<uint64_t> generation{0};
  std::atomic<int64_t> next_part{0};
  std::atomic<int> num_running{0};
  std::atomic<bool> is_stopping{false};
  int64_t num_parts = 0;
  const std::function<void(int64_t)>* part = nullptr;
  std::mutex error_mutex;
  std::exception_ptr error;
  std::vector<std::jthread> workers;

  void work() {
    for (;;) {
      const int64_t index = next_part.fetch_add(1, std::memory_order_relaxed);
      if (index >= num_parts) return;
      try {
        (*part)(index);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
    }
  }

  void worker_loop() {
    uint64_t seen = 0;
    for (;;) {
      uint64_t current = generation.load(std::memory_order_acquire);
      for (int round = 0; current == seen && round < kSpinRounds; ++round) {
        relax();
        current = generation.load(std::memory_order_acquire);
      }
      if (current == seen) {
        generation.wait(seen, std::memory_order_acquire);
        continue;
      }
      seen = current;
      if (is_stopping.load(std::memory_order_relaxed)) return;
      work();
      if (num_running.fetch_sub(1, std::memory_order_acq_rel) == 1) num_running.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int num_threads) : state_(std::make_unique<State>()) {
  if (num_threads < 0) {
    fail(ErrorCode::kInvalidArgument, "thread count is {}, expected 0 (all cores) or more",
         num_threads);
  }
  const int count = num_threads > 0 ? num_threads : default_thread_count();
  state_->workers.reserve(static_cast<std::size_t>(count - 1));
  for (int i = 1; i < count; ++i) {
    state_->workers.emplace_back([state = state_.get()] { state->worker_loop(); });
  }
}

ThreadPool::~ThreadPool() {
  state_->is_stopping = true;
  state_->generation.fetch_add(1, std::memory_order_release);
  state_->generation.notify_all();
  state_->workers.clear();
}

int ThreadPool::num_threads() const noexcept {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::run(int64_t num_parts, const std::function<void(int64_t)>& part) {
  if (num_parts <= 0) return;
  if (num_parts == 1 || state_->workers.empty()) {
    for (int64_t i = 0; i < num_parts; ++i) part(i);
    return;
  }
  State& state = *state_;
  state.num_parts = num_parts;
  state.part = &part;
  state.error = nullptr;
  state.next_part.store(0, std::memory_order_relaxed);
  state.num_running.store(static_cast<int>(state.workers.size()), std::memory_order_relaxed);
  state.generation.fetch_add(1, std::memory_order_release);
  state.generation.notify_all();
  state.work();
  int running = state.num_running.load(std::memory_order_acquire);
  for (int round = 0; running != 0; ++round) {
    if (round < kSpinRounds) {
      relax();
    } else {
      state.num_running.wait(running, std::memory_order_acquire);
    }
    running = state.num_running.load(std::memory_order_acquire);
  }
  if (state.error) std::rethrow_exception(state.error);
}

void ThreadPool::run_ranges(int64_t count, int64_t min_range,
                            const std::function<void(int64_t, int64_t)>& range) {
  if (count <= 0) return;
  const int64_t num_ranges =
      std::clamp<int64_t>(count / std::max<int64_t>(1, min_range), 1, num_threads());
  run(num_ranges, [&](int64_t i) {
    range(count * i / num_ranges, count * (i + 1) / num_ranges);
  });
}

}  // namespace llava
