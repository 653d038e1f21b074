// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/hand_over.h"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>

#include "llava/core/log.h"

namespace llava::serve {

void HandOver::post(boost::asio::any_io_executor strand, std::function<void()> task) {
  const bool is_first = queue_.with([&](Queue& queue) {
    queue.tasks.push_back({.strand = std::move(strand), .function = std::move(task)});
    return !std::exchange(queue.is_carried, true);
  });
  if (is_first) boost::asio::post(executor_, [self = shared_from_this()] { self->carry(); });
}

void HandOver::carry() {
  for (;;) {
    std::vector<Task> tasks = queue_.with([](Queue& queue) {
      queue.is_carried = !queue.tasks.empty();
      return std::exchange(queue.tasks, {});
    });
    if (tasks.empty()) return;
    for (Task& task : tasks) {
      try {
        // At once, unless another thread is on that strand and does it then.
        boost::asio::dispatch(task.strand, std::move(task.function));
      } catch (const std::exception& error) {
        log_error("http_task", {{"error", error.what()}});
      }
    }
  }
}

}  // namespace llava::serve
