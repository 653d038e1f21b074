// SPDX-License-Identifier: Apache-2.0
//
// HandOver: carries tasks from any thread to the strands of a server's connections. Waking a thread
// costs more than most tasks do, so what is handed over while one is at it goes along.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "llava/core/guarded.h"

namespace llava::serve {

/// Threads: safe. Held by a shared pointer, because what it has posted looks for it.
class HandOver : public std::enable_shared_from_this<HandOver> {
 public:
  /// `executor`: that of the server's threads, on which the strands are.
  explicit HandOver(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

  /// Runs `task` on `strand`, after what was handed over for it before.
  void post(boost::asio::any_io_executor strand, std::function<void()> task);

 private:
  struct Task {
    boost::asio::any_io_executor strand;
    std::function<void()> function;
  };
  struct Queue {
    std::vector<Task> tasks;
    bool is_carried = false;  ///< somebody comes for them
  };

  void carry();

  boost::asio::any_io_executor executor_;
  Guarded<Queue> queue_;
};

}  // namespace llava::serve
