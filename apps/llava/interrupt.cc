// SPDX-License-Identifier: Apache-2.0
#include "interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/error.h"

namespace llava::app {
namespace {

// What the signal handler may touch, one of the few singletons (docs/architecture.md). Requesting a
// stop is not allowed in a handler, so it writes a byte that a thread waits for.
std::atomic<int> num_interrupts{0};
std::atomic<int> wake_writer{-1};
static_assert(std::atomic<int>::is_always_lock_free);

constexpr char kInterrupted = 'i';
constexpr char kDone = 'd';

struct sigaction previous_action;

void wake(char reason) {
  const int saved = errno;
  while (::write(wake_writer.load(), &reason, 1) < 0 && errno == EINTR) {
  }
  errno = saved;
}

void count_interrupt(int) {
  if (num_interrupts.fetch_add(1) > 0) ::_exit(kExitInterrupted);
  wake(kInterrupted);
}

void watch(int reader, std::stop_source stop) {
  for (;;) {
    char reason = kDone;
    const ssize_t count = ::read(reader, &reason, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count == 1 && reason == kInterrupted) {
      stop.request_stop();
      continue;
    }
    ::close(reader);
    return;
  }
}

}  // namespace

InterruptGuard::InterruptGuard(std::stop_source stop) {
  std::array<int, 2> ends{};
  LLAVA_CHECK(::pipe(ends.data()) == 0);
  num_interrupts = 0;
  wake_writer = ends[1];
  watcher_ = std::jthread([reader = ends[0], stop = std::move(stop)] { watch(reader, stop); });
  struct sigaction action {};
  action.sa_handler = count_interrupt;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &previous_action);
}

InterruptGuard::~InterruptGuard() {
  ::sigaction(SIGINT, &previous_action, nullptr);
  wake(kDone);
  watcher_.join();
  ::close(wake_writer.exchange(-1));
}

}  // namespace llava::app
