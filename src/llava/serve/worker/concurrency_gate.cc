// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/worker/concurrency_gate.h"

#include <utility>

namespace llava::serve {

ConcurrencyGate::ConcurrencyGate(int32_t limit) : limit_(limit) {}

uint64_t ConcurrencyGate::enter(Task task) {
  bool is_let_in = false;
  const uint64_t number = queue_.with([&](Queue& queue) {
    const uint64_t entered = ++queue.num_entered;
    is_let_in = queue.num_running < limit_;
    if (is_let_in) {
      ++queue.num_running;
    } else {
      queue.waiting.emplace(entered, std::move(task));
    }
    return entered;
  });
  if (is_let_in) task(make_permit());
  return number;
}

void ConcurrencyGate::leave(uint64_t number) {
  // What the task holds ends outside of the lock.
  const auto left = queue_.with([&](Queue& queue) { return queue.waiting.extract(number); });
}

int64_t ConcurrencyGate::num_running() const {
  return queue_.with([](const Queue& queue) { return queue.num_running; });
}

int64_t ConcurrencyGate::num_waiting() const {
  return queue_.with([](const Queue& queue) { return static_cast<int64_t>(queue.waiting.size()); });
}

Permit ConcurrencyGate::make_permit() {
  return {this, [gate = shared_from_this()](void*) { gate->let_next_in(); }};
}

void ConcurrencyGate::let_next_in() {
  auto next = queue_.with([](Queue& queue) {
    if (!queue.waiting.empty()) return queue.waiting.extract(queue.waiting.begin());
    --queue.num_running;
    return std::map<uint64_t, Task>::node_type();
  });
  if (next) next.mapped()(make_permit());
}

}  // namespace llava::serve
