// SPDX-License-Identifier: Apache-2.0
//
// EventStream: an answer of server-sent events, with signs of life while there is nothing to say.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "llava/serve/http/http_exchange.h"
#include "llava/serve/http/streamed_answer.h"

namespace llava::serve {

/// Status and headers of an answer of events.
HttpResponse event_stream_head();

struct EventStreamOptions {
  /// Status and headers go out at once, and not with the first event: for proxies that wait a short
  /// time only. What fails later is then an event.
  bool has_early_headers = false;
  /// Without an event for so long, a comment is sent once headers are out; 0: never.
  std::chrono::milliseconds ping_interval{0};
};

/// Threads: the connection's strand. Owned by a shared pointer, because its timer looks for it.
class EventStream : public std::enable_shared_from_this<EventStream> {
 public:
  EventStream(std::shared_ptr<HttpExchange> exchange, const EventStreamOptions& options);

  /// Sends early headers, and begins to watch the time.
  void open();
  bool has_started() const { return answer_.has_started(); }
  /// One event or several, as they go over the wire.
  void put(std::string event);
  void finish();

 private:
  using Clock = std::chrono::steady_clock;

  void watch_time(std::chrono::milliseconds delay);
  void ping();

  std::shared_ptr<HttpExchange> exchange_;
  const EventStreamOptions options_;
  StreamedAnswer answer_;
  Clock::time_point last_ = Clock::now();
  bool is_over_ = false;
};

}  // namespace llava::serve
