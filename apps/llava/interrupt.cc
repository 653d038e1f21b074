// SPDX-License-Identifier: Apache-2.0
#include "interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "llava/core/error.h"

namespace llava::app {
namespace {

// The signal handler's stop flag, one of the few singletons (docs/architecture.md).
std::atomic<int> num_interrupts{0};
static_assert(std::atomic<int>::is_always_lock_free);

struct sigaction previous_action;

void count_interrupt(int) {
  if (num_interrupts.fetch_add(1) > 0) ::_exit(kExitInterrupted);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  num_interrupts = 0;
  struct sigaction action {};
  action.sa_handler = count_interrupt;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &previous_action);
}

InterruptGuard::~InterruptGuard() { ::sigaction(SIGINT, &previous_action, nullptr); }

bool InterruptGuard::is_interrupted() const { return num_interrupts.load() > 0; }

}  // namespace llava::app
