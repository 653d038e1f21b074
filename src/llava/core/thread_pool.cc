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

#include "llava/core/check.h"

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

// A job is open when its number, the upper half of `ticket`, is even; the lower half counts the
// parts that have been taken. Parts are taken by comparing and swapping the ticket, so a thread
// that wakes late cannot touch a job that it did not see, and nobody waits for threads that took no
// part: on a busy machine those may not run for milliseconds.
struct ThreadPool::State {
  std::atomic<uint64_t> ticket{0};
  std::atomic<uint32_t> num_parts{0};
  std::atomic<const std::function<void(int64_t)>*> part{nullptr};
  std::atomic<int> num_done{0};
  // Raised with every job; idle workers wait for it to change.
  std::atomic<int> epoch{0};
  std::atomic<bool> is_stopping{false};
  std::mutex error_mutex;
  std::exception_ptr error;
  std::vector<std::jthread> workers;

  // Opens a job. The job before it has ended, so no thread can take a part until the last line.
  void open(uint32_t count, const std::function<void(int64_t)>& function) {
    const uint64_t job = ticket.load(std::memory_order_relaxed) >> 32;
    // Closed first: whoever reads a new value below then fails to swap the old ticket.
    ticket.store((job + 1) << 32, std::memory_order_relaxed);
    num_parts.store(count, std::memory_order_release);
    part.store(&function, std::memory_order_release);
    num_done.store(0, std::memory_order_relaxed);
    ticket.store((job + 2) << 32, std::memory_order_release);
    epoch.fetch_add(1, std::memory_order_release);
    epoch.notify_all();
  }

  // Runs parts until none is left to take.
  void work() {
    for (;;) {
      uint64_t current = ticket.load(std::memory_order_acquire);
      const uint32_t count = num_parts.load(std::memory_order_acquire);
      const std::function<void(int64_t)>* function = part.load(std::memory_order_acquire);
      const auto index = static_cast<uint32_t>(current);
      const bool is_open = (current >> 32) % 2 == 0;
      if (!is_open || index >= count) return;
      if (!ticket.compare_exchange_weak(current, current + 1, std::memory_order_acq_rel,
                                        std::memory_order_relaxed)) {
        continue;
      }
      try {
        (*function)(index);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
      if (num_done.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<int>(count)) {
        num_done.notify_one();
      }
    }
  }

  void wait_until_done(int count) {
    int done = num_done.load(std::memory_order_acquire);
    for (int round = 0; done != count; ++round) {
      if (round < kSpinRounds) {
        relax();
      } else {
        num_done.wait(done, std::memory_order_acquire);
      }
      done = num_done.load(std::memory_order_acquire);
    }
  }

  void worker_loop() {
    int seen = 0;
    for (;;) {
      int current = epoch.load(std::memory_order_acquire);
      for (int round = 0; current == seen && round < kSpinRounds; ++round) {
        relax();
        current = epoch.load(std::memory_order_acquire);
      }
      if (current == seen) {
        epoch.wait(seen, std::memory_order_acquire);
        continue;
      }
      seen = current;
      if (is_stopping.load(std::memory_order_relaxed)) return;
      work();
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
  state_->is_stopping.store(true, std::memory_order_relaxed);
  state_->epoch.fetch_add(1, std::memory_order_release);
  state_->epoch.notify_all();
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
  LLAVA_CHECK(num_parts <= INT32_MAX, "{} parts", num_parts);
  State& state = *state_;
  state.error = nullptr;
  state.open(static_cast<uint32_t>(num_parts), part);
  state.work();
  state.wait_until_done(static_cast<int>(num_parts));
  if (state.error) std::rethrow_exception(state.error);
}

void ThreadPool::run_ranges(int64_t count, int64_t min_range,
                            const std::function<void(int64_t, int64_t)>& range) {
  if (count <= 0) return;
  const int64_t num_ranges =
      std::clamp<int64_t>(count / std::max<int64_t>(1, min_range), 1, num_threads());
  run(num_ranges, [&](int64_t i) { range(count * i / num_ranges, count * (i + 1) / num_ranges); });
}

}  // namespace llava
