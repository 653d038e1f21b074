// SPDX-License-Identifier: Apache-2.0
#include "llava/core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <optional>
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

// Each thread owns a share of a job: the parts that are left of it are counted down in the lower
// half of its ticket, whose upper half is the job's number. Parts are taken by comparing and
// swapping the ticket, so a thread that wakes late cannot touch a job that it did not see, and
// nobody waits for threads that took no part: on a busy machine those may not run for milliseconds.
//
// What the job is lies beside each ticket, so that a worker, which spins on its own, learns all of
// a new job from one cache line; each one more would cost it a fifth of a microsecond. It may be
// read after a part has been taken: the job stays as long as somebody holds one.
struct ThreadPool::State {
  using Part = FunctionRef<void(int64_t, int)>;

  struct alignas(64) Share {
    std::atomic<uint64_t> ticket{0};
    int64_t end = 0;  ///< of the share's parts; it begins where that of the thread before ends
    int count = 0;    ///< parts of the whole job
    std::optional<Part> part;
    std::atomic<bool> is_stopping{false};  ///< its thread ends with this job
  };

  std::vector<Share> shares;
  // Raised with every job; workers that have spun long enough wait for it to change.
  alignas(64) std::atomic<int> epoch{0};
  alignas(64) std::atomic<int> num_done{0};
  std::mutex error_mutex;
  std::exception_ptr error;
  std::vector<std::jthread> workers;

  explicit State(std::size_t num_threads) : shares(num_threads) {}

  // Opens a job. No part of the job before it is left, so nobody reads what changes here.
  void open(int count, const std::optional<Part>& part) {
    const uint64_t job = (shares[0].ticket.load(std::memory_order_relaxed) >> 32) + 1;
    num_done.store(0, std::memory_order_relaxed);
    const auto num_threads = static_cast<int64_t>(shares.size());
    int64_t begin = 0;
    for (int64_t thread = 0; thread < num_threads; ++thread) {
      Share& share = shares[static_cast<std::size_t>(thread)];
      share.end = count * (thread + 1) / num_threads;
      share.count = count;
      share.part = part;
      share.ticket.store(job << 32 | static_cast<uint64_t>(share.end - begin),
                         std::memory_order_release);
      begin = share.end;
    }
    epoch.fetch_add(1, std::memory_order_release);
    epoch.notify_all();
  }

  // Runs parts until none is left to take: of the thread's own share, then of the others'.
  void work(std::size_t thread) {
    for (std::size_t i = 0; i < shares.size(); ++i) {
      work_on(shares[(thread + i) % shares.size()], static_cast<int>(thread));
    }
  }

  void work_on(Share& share, int thread) {
    int done = 0;
    int count = 0;  // read while a part is held: afterwards the next job may begin
    uint64_t current = share.ticket.load(std::memory_order_acquire);
    while (static_cast<uint32_t>(current) != 0) {
      if (!share.ticket.compare_exchange_weak(current, current - 1, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
        continue;
      }
      count = share.count;
      try {
        (*share.part)(share.end - static_cast<int64_t>(static_cast<uint32_t>(current)), thread);
      } catch (...) {
        const std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
      }
      ++done;
      current = share.ticket.load(std::memory_order_acquire);
    }
    if (done == 0) return;
    if (num_done.fetch_add(done, std::memory_order_acq_rel) + done == count) num_done.notify_one();
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

  void worker_loop(std::size_t thread) {
    const Share& own = shares[thread];
    uint64_t seen = 0;
    for (;;) {
      uint64_t job = own.ticket.load(std::memory_order_acquire) >> 32;
      for (int round = 0; job == seen && round < kSpinRounds; ++round) {
        relax();
        job = own.ticket.load(std::memory_order_acquire) >> 32;
      }
      if (job == seen) {
        // A job that opens from here on changes what is waited for.
        const int current = epoch.load(std::memory_order_acquire);
        if (own.ticket.load(std::memory_order_acquire) >> 32 == seen) {
          epoch.wait(current, std::memory_order_acquire);
        }
        continue;
      }
      seen = job;
      work(thread);
      if (own.is_stopping.load(std::memory_order_relaxed)) return;
    }
  }
};

ThreadPool::ThreadPool(int num_threads) {
  if (num_threads < 0) {
    fail(ErrorCode::kInvalidArgument, "thread count is {}, expected 0 (all cores) or more",
         num_threads);
  }
  const int count = num_threads > 0 ? num_threads : default_thread_count();
  const auto size = static_cast<std::size_t>(count);
  state_ = std::make_unique<State>(size);
  state_->workers.reserve(size - 1);
  for (std::size_t thread = 1; thread < size; ++thread) {
    state_->workers.emplace_back([state = state_.get(), thread] { state->worker_loop(thread); });
  }
}

ThreadPool::~ThreadPool() {
  for (auto& share : state_->shares) share.is_stopping.store(true, std::memory_order_relaxed);
  state_->open(0, std::nullopt);
  state_->workers.clear();
}

int ThreadPool::num_threads() const noexcept {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::run(int64_t num_parts, FunctionRef<void(int64_t)> part) {
  run(num_parts, [part](int64_t i, int) { part(i); });
}

void ThreadPool::run(int64_t num_parts, FunctionRef<void(int64_t, int)> part) {
  if (num_parts <= 0) return;
  if (num_parts == 1 || state_->workers.empty()) {
    for (int64_t i = 0; i < num_parts; ++i) part(i, 0);
    return;
  }
  LLAVA_CHECK(num_parts <= INT32_MAX, "{} parts", num_parts);
  State& state = *state_;
  state.error = nullptr;
  state.open(static_cast<int>(num_parts), part);
  state.work(0);
  state.wait_until_done(static_cast<int>(num_parts));
  if (state.error) std::rethrow_exception(state.error);
}

void ThreadPool::run_ranges(int64_t count, int64_t min_range,
                            FunctionRef<void(int64_t, int64_t)> range) {
  if (count <= 0) return;
  const int64_t num_ranges =
      std::clamp<int64_t>(count / std::max<int64_t>(1, min_range), 1, num_threads());
  run(num_ranges, [&](int64_t i) { range(count * i / num_ranges, count * (i + 1) / num_ranges); });
}

}  // namespace llava
