// SPDX-License-Identifier: Apache-2.0
//
// HttpExchange: one request's answer on its way out, whole or piece by piece.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include "llava/serve/http/http_message.h"

namespace llava::serve {

/// Why an exchange ended before its answer was complete.
enum class CloseReason { kClientGone, kSlowClient, kServerStops };

/// The server's end of one exchange. Dropping the last reference without an answer sends a 500.
///
/// Threads: safe. Nothing blocks: what is written waits in memory until the client takes it, and a
/// client that leaves too much of it, or takes nothing for too long, is disconnected.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  /// Sends a whole answer.
  virtual void respond(HttpResponse response) = 0;
  /// Sends status and headers; the body follows in pieces. `response.body` is the first of them.
  virtual void start(HttpResponse response) = 0;
  /// Sends a piece of the body.
  virtual void write(std::string piece) = 0;
  /// Ends the body.
  virtual void finish() = 0;
  /// Closes the connection in the middle of the answer, so that the client can tell that it is not
  /// whole.
  virtual void abort() = 0;

  /// Calls back when the exchange ends early, at once if it has; the last callback set counts, and
  /// none is called after a complete answer.
  virtual void on_close(std::function<void(CloseReason)> callback) = 0;
  virtual bool is_closed() const = 0;
  /// Bytes written and not yet taken by the client.
  virtual std::size_t unsent_bytes() const = 0;
  /// Runs `task` on the connection's own strand, after what has been posted before.
  virtual void post(std::function<void()> task) = 0;
  /// The same, after a while, unless the exchange is gone by then.
  virtual void post_after(std::chrono::milliseconds delay, std::function<void()> task) = 0;
};

}  // namespace llava::serve
