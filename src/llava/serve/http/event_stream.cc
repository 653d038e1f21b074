// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/event_stream.h"

#include <utility>

namespace llava::serve {
namespace {

constexpr const char* kPing = ": ping\n\n";

}  // namespace

HttpResponse event_stream_head() {
  return {.status = 200,
          .headers = {{"Content-Type", "text/event-stream; charset=utf-8"},
                      {"Cache-Control", "no-cache, no-transform"},
                      {"X-Accel-Buffering", "no"}},
          .body = {}};
}

EventStream::EventStream(std::shared_ptr<HttpExchange> exchange, const EventStreamOptions& options)
    : exchange_(std::move(exchange)), options_(options), answer_(exchange_, event_stream_head()) {}

void EventStream::open() {
  if (options_.has_early_headers) put(kPing);
  if (options_.ping_interval.count() > 0) watch_time(options_.ping_interval);
}

void EventStream::put(std::string event) {
  last_ = Clock::now();
  answer_.put(std::move(event));
}

void EventStream::finish() {
  is_over_ = true;
  answer_.finish();
}

void EventStream::watch_time(std::chrono::milliseconds delay) {
  exchange_->post_after(delay, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->ping();
  });
}

void EventStream::ping() {
  if (is_over_ || exchange_->is_closed()) return;
  const auto silence = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - last_);
  if (silence < options_.ping_interval) return watch_time(options_.ping_interval - silence);
  if (answer_.has_started()) put(kPing);
  watch_time(options_.ping_interval);
}

}  // namespace llava::serve
