// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/http_connection.h"

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <utility>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/core/log.h"

namespace llava::serve {
namespace {

namespace asio = boost::asio;

/// What may wait to be read while an answer is made: the next requests of a client that does not
/// wait.
constexpr std::size_t kMaxPipelinedBytes = 64 * 1024;
/// What is thrown away of a client that goes on sending after it was refused, and for how long.
constexpr int64_t kMaxLingerBytes = 4 << 20;
constexpr std::chrono::seconds kLingerTime{2};
/// A write gives the socket at most this much, so that progress shows.
constexpr std::size_t kMaxWriteBytes = 64 * 1024;

}  // namespace

/// The handler's end. It holds the connection; the connection knows it by its number only.
class HttpConnection::Exchange final : public HttpExchange {
 public:
  Exchange(std::shared_ptr<HttpConnection> connection, uint64_t number)
      : connection_(std::move(connection)),
        number_(number),
        is_closed_(connection_->is_exchange_closed_),
        unsent_(connection_->unsent_) {}
  ~Exchange() override {
    run([](HttpConnection& connection, uint64_t number) { connection.abandon(number); });
    // A timer that nobody needs any more would hold up the server's end until it has run out.
    post([timers = timers_.with([](Timers& all) { return std::move(all); })] {
      for (const auto& weak : timers) {
        if (const auto timer = weak.lock()) timer->cancel();
      }
    });
  }
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  void respond(HttpResponse response) override {
    run([response = std::move(response)](HttpConnection& connection, uint64_t number) {
      connection.send_whole(number, response);
    });
  }
  void start(HttpResponse response) override {
    run([response = std::move(response)](HttpConnection& connection, uint64_t number) {
      connection.send_start(number, response);
    });
  }
  void write(std::string piece) override {
    // On the strand, and with nothing of this exchange on its way there, it is its turn now.
    if (num_posted_->load(std::memory_order_acquire) == 0 && connection_->is_on_strand()) {
      return connection_->send_piece(number_, piece);
    }
    unsent_->fetch_add(piece.size(), std::memory_order_relaxed);
    run([piece = std::move(piece), unsent = unsent_](HttpConnection& connection, uint64_t number) {
      // From here on the connection counts it, frame included.
      unsent->fetch_sub(piece.size(), std::memory_order_relaxed);
      connection.send_piece(number, piece);
    });
  }
  void finish() override {
    run([](HttpConnection& connection, uint64_t number) { connection.send_finish(number); });
  }
  void abort() override {
    run([](HttpConnection& connection, uint64_t number) { connection.send_abort(number); });
  }
  void on_close(std::function<void(CloseReason)> callback) override {
    run([callback = std::move(callback)](HttpConnection& connection, uint64_t number) {
      connection.watch_close(number, callback);
    });
  }
  bool is_closed() const override { return is_closed_->load(std::memory_order_relaxed); }
  std::size_t unsent_bytes() const override { return unsent_->load(std::memory_order_relaxed); }
  void post(std::function<void()> task) override {
    connection_->shared_->hand_over->post(connection_->transport_->executor(), std::move(task));
  }
  void post_after(std::chrono::milliseconds delay, std::function<void()> task) override {
    const auto timer =
        std::make_shared<asio::steady_timer>(connection_->transport_->executor(), delay);
    timer->async_wait([timer, task = std::move(task)](const boost::system::error_code& error) {
      if (!error) task();
    });
    timers_.with([&](Timers& all) {
      std::erase_if(all, [](const auto& weak) { return weak.expired(); });
      all.push_back(timer);
    });
  }

 private:
  using Timers = std::vector<std::weak_ptr<asio::steady_timer>>;

  template <class Task>
  void run(Task task) {
    num_posted_->fetch_add(1, std::memory_order_relaxed);
    connection_->shared_->hand_over->post(connection_->transport_->executor(),
                                          [connection = connection_, number = number_,
                                           num_posted = num_posted_, task = std::move(task)] {
                                            num_posted->fetch_sub(1, std::memory_order_release);
                                            task(*connection, number);
                                          });
  }

  std::shared_ptr<HttpConnection> connection_;
  uint64_t number_;
  std::shared_ptr<std::atomic<bool>> is_closed_;
  std::shared_ptr<std::atomic<std::size_t>> unsent_;
  /// Calls that wait for the strand. The strand runs them in their order, so that one who sees none
  /// there comes behind them.
  std::shared_ptr<std::atomic<int32_t>> num_posted_ = std::make_shared<std::atomic<int32_t>>(0);
  Guarded<Timers> timers_;
};

HttpConnection::HttpConnection(std::shared_ptr<ConnectionShared> shared,
                               std::unique_ptr<Transport> transport)
    : shared_(std::move(shared)),
      transport_(std::move(transport)),
      is_exchange_closed_(std::make_shared<std::atomic<bool>>(false)),
      unsent_(std::make_shared<std::atomic<std::size_t>>(0)),
      deadline_(transport_->executor()),
      write_deadline_(transport_->executor()) {
  shared_->num_connections.fetch_add(1);
}

HttpConnection::~HttpConnection() {
  shared_->body_bytes.fetch_sub(promised_bytes_);
  shared_->num_connections.fetch_sub(1);
}

void HttpConnection::start() {
  asio::post(transport_->executor(), [self = shared_from_this()] {
    self->set_deadline(self->shared_->limits.head_time);
    self->transport_->handshake([self](const Transport::Error& error) {
      if (self->phase_ == Phase::kClosed) return;
      if (error) return self->close(CloseReason::kClientGone, false);
      self->await_request();
    });
  });
}

void HttpConnection::stop(bool only_if_idle) {
  asio::post(transport_->executor(), [self = shared_from_this(), only_if_idle] {
    const bool is_idle = self->phase_ == Phase::kHead && self->in_.empty();
    if (only_if_idle && !is_idle) return;
    self->close(CloseReason::kServerStops, false);
  });
}

// Reading.

void HttpConnection::await_request() {
  if (shared_->is_draining.load() && num_requests_ > 0 && in_.empty()) {
    return close(CloseReason::kServerStops, false);
  }
  phase_ = Phase::kHead;
  const bool is_idle = num_requests_ > 0 && in_.empty();
  set_deadline(is_idle ? shared_->limits.idle_time : shared_->limits.head_time);
  progress();
}

void HttpConnection::read() {
  if (is_reading_ || phase_ == Phase::kClosed) return;
  // The end is told once.
  if (is_half_closed_) return close(CloseReason::kClientGone, false);
  is_reading_ = true;
  transport_->read_some(
      asio::buffer(chunk_),
      [self = shared_from_this()](const Transport::Error& error, std::size_t count) {
        self->is_reading_ = false;
        self->on_read(error, count);
      });
}

void HttpConnection::on_read(const Transport::Error& error, std::size_t count) {
  if (phase_ == Phase::kClosed) return;
  if (error == asio::error::eof && phase_ == Phase::kAnswer && shared_->limits.allows_half_close) {
    is_half_closed_ = true;
    return;
  }
  // A client that ends its side while an answer is made is taken to be gone.
  if (error) return close(CloseReason::kClientGone, false);
  if (phase_ == Phase::kLinger) {
    num_lingered_ += static_cast<int64_t>(count);
    if (num_lingered_ > kMaxLingerBytes) return close(CloseReason::kClientGone, true);
    return read();
  }
  if (phase_ == Phase::kHead && in_.empty()) set_deadline(shared_->limits.head_time);
  in_.append(chunk_.data(), count);
  progress();
}

void HttpConnection::progress() {
  switch (phase_) {
    case Phase::kHead: {
      // Some clients send an empty line behind a body (RFC 9112, section 2.2).
      while (in_.starts_with("\r\n")) in_.erase(0, 2);
      const auto head_size = find_end_of_head(in_);
      if (head_size.value_or(in_.size()) > kMaxHeadBytes) {
        return refuse(431, "the request's head is too large");
      }
      return head_size ? begin_request(*head_size) : read();
    }
    case Phase::kBody:
      return feed_body();
    case Phase::kAnswer:
      if (in_.size() < kMaxPipelinedBytes && !is_half_closed_) read();
      return;
    default:
      return read();
  }
}

void HttpConnection::begin_request(std::size_t head_size) {
  const std::string head_bytes = in_.substr(0, head_size);
  in_.erase(0, head_size);
  ++num_requests_;
  auto parsed = parse_request_head(head_bytes);
  if (const auto* error = std::get_if<HeadError>(&parsed)) {
    head_ = {};
    return refuse(error->status, error->message);
  }
  head_ = std::get<RequestHead>(std::move(parsed));
  head_.request.client_address = transport_->peer();
  auto max_body_bytes = static_cast<uint64_t>(shared_->limits.max_body_bytes);
  std::optional<HttpResponse> refusal;
  try {
    refusal = shared_->handler.admit(head_.request, max_body_bytes);
  } catch (const std::exception& error) {
    log_error("http_admit_failed", {{"error", error.what()}});
    refusal = shared_->handler.refuse(500, "internal error");
  }
  closes_after_ = !head_.keeps_alive;
  if (refusal) return refuse_with(std::move(*refusal));
  const auto is_gzip = take_encoding();
  if (!is_gzip) {
    return refuse(415, shared_->limits.accepts_gzip
                           ? "the only Content-Encoding that is understood is 'gzip'"
                           : "the request's body is compressed, which this server does not take "
                             "(--accept-gzip): send it as it is");
  }
  body_.emplace(head_, head_bytes, max_body_bytes, *is_gzip);
  if (body_->error()) return refuse(body_->error()->status, body_->error()->message);
  if (!promise_body(head_.content_length.value_or(0))) {
    return refuse(503, "the server is reading too many requests");
  }
  if (head_.expects_continue && head_.has_body()) push(std::string(kContinue));
  phase_ = Phase::kBody;
  body_begin_ = Clock::now();
  feed_body();
}

std::optional<bool> HttpConnection::take_encoding() {
  const auto encoding = head_.request.header("Content-Encoding");
  if (!encoding || equals_ignoring_case(*encoding, "identity")) return false;
  const bool is_gzip =
      equals_ignoring_case(*encoding, "gzip") || equals_ignoring_case(*encoding, "x-gzip");
  if (!is_gzip || !shared_->limits.accepts_gzip) return std::nullopt;
  // Handlers see the body unpacked, and may pass the headers on.
  const auto num_erased = std::erase_if(head_.request.headers, [](const HttpHeader& header) {
    return equals_ignoring_case(header.name, "Content-Encoding");
  });
  if (num_erased != 1) return std::nullopt;
  return true;
}

bool HttpConnection::promise_body(uint64_t total) {
  const int64_t more = static_cast<int64_t>(total) - promised_bytes_;
  if (more <= 0) return true;
  if (shared_->body_bytes.fetch_add(more) + more > shared_->limits.max_inflight_body_bytes) {
    shared_->body_bytes.fetch_sub(more);
    return false;
  }
  promised_bytes_ += more;
  return true;
}

void HttpConnection::feed_body() {
  while (!in_.empty()) {
    const std::size_t count = body_->consume(in_);
    in_.erase(0, count);
    if (count == 0) break;
  }
  if (body_->error()) return refuse(body_->error()->status, body_->error()->message);
  if (!promise_body(body_->size())) return refuse(503, "the server is reading too many requests");
  if (body_->is_done()) return dispatch();
  const auto& limits = shared_->limits;
  // A chunk's own line is short; one that never ends would collect here.
  if (in_.size() > kMaxHeadBytes) return refuse(400, "the request's body is malformed");
  const std::chrono::seconds earned(static_cast<int64_t>(body_->size()) /
                                    std::max<int64_t>(1, limits.body_bytes_per_second));
  set_deadline(body_begin_ + limits.body_time + earned - Clock::now());
  read();
}

void HttpConnection::dispatch() {
  head_.request.body = body_->take();
  body_.reset();
  phase_ = Phase::kAnswer;
  deadline_.cancel();
  ++number_;
  count_answer(true);
  is_complete_ = false;
  is_streaming_ = false;
  is_exchange_closed_ = std::make_shared<std::atomic<bool>>(false);
  const auto exchange = std::make_shared<Exchange>(shared_from_this(), number_);
  try {
    shared_->handler.handle(std::move(head_.request), exchange);
  } catch (const std::exception& error) {
    log_error("http_handler_failed", {{"error", error.what()}});
    exchange->respond(shared_->handler.refuse(500, "internal error"));
  }
  progress();
}

void HttpConnection::refuse(int status, const std::string& message) {
  closes_after_ = true;
  refuse_with(shared_->handler.refuse(status, message));
}

void HttpConnection::refuse_with(HttpResponse response) {
  // What is left of the body would be read as the next request.
  if (head_.has_body()) closes_after_ = true;
  body_.reset();
  phase_ = Phase::kAnswer;
  deadline_.cancel();
  ++number_;
  is_complete_ = false;
  is_streaming_ = false;
  send_whole(number_, response);
  progress();
}

// Answering.

ResponseFraming HttpConnection::framing(bool is_streamed) const {
  return {.is_http_1_1 = head_.is_http_1_1,
          .keeps_alive = !closes_after_,
          .is_head = head_.request.method == "HEAD",
          .is_streamed = is_streamed};
}

void HttpConnection::send_whole(uint64_t number, const HttpResponse& response) {
  if (!is_open(number) || is_streaming_ || phase_ == Phase::kClosed) return;
  if (shared_->is_draining.load()) closes_after_ = true;
  push(frame_response(response, framing(false)));
  complete();
}

void HttpConnection::send_start(uint64_t number, HttpResponse response) {
  if (!is_open(number) || is_streaming_ || phase_ == Phase::kClosed) return;
  if (!head_.is_http_1_1 || shared_->is_draining.load()) closes_after_ = true;
  is_streaming_ = true;
  const std::string first = std::exchange(response.body, {});
  push(frame_response(response, framing(true)));
  send_piece(number, first);
}

void HttpConnection::send_piece(uint64_t number, std::string_view piece) {
  if (!is_open(number) || !is_streaming_ || phase_ == Phase::kClosed || piece.empty()) return;
  if (head_.request.method == "HEAD") return;
  const std::size_t size_before = out_.size();
  if (head_.is_http_1_1) {
    append_chunk(out_, piece);
  } else {
    out_ += piece;
  }
  unsent_->fetch_add(out_.size() - size_before, std::memory_order_relaxed);
  flush();
  if (static_cast<int64_t>(unsent_->load()) <= shared_->limits.max_unsent_bytes) return;
  // Who writes is not called back from within.
  asio::post(transport_->executor(), [self = shared_from_this(), number] {
    if (self->is_open(number)) self->close(CloseReason::kSlowClient, true);
  });
}

void HttpConnection::send_finish(uint64_t number) {
  if (!is_open(number) || !is_streaming_ || phase_ == Phase::kClosed) return;
  if (head_.is_http_1_1 && head_.request.method != "HEAD") push(std::string(kLastChunk));
  complete();
}

void HttpConnection::send_abort(uint64_t number) {
  if (is_open(number)) close(CloseReason::kServerStops, true);
}

void HttpConnection::abandon(uint64_t number) {
  if (!is_open(number) || phase_ == Phase::kClosed) return;
  log_error("http_no_answer", {{"path", head_.request.path}});
  if (is_streaming_) return close(CloseReason::kServerStops, true);
  send_whole(number, shared_->handler.refuse(500, "internal error"));
}

void HttpConnection::watch_close(uint64_t number, std::function<void(CloseReason)> callback) {
  if (!is_open(number)) return;
  if (phase_ == Phase::kClosed) return callback(CloseReason::kClientGone);
  on_close_ = std::move(callback);
}

void HttpConnection::count_answer(bool is_under_way) {
  if (is_counted_ == is_under_way) return;
  is_counted_ = is_under_way;
  shared_->num_answers.fetch_add(is_under_way ? 1 : -1);
}

void HttpConnection::complete() {
  is_complete_ = true;
  on_close_ = nullptr;
  shared_->body_bytes.fetch_sub(std::exchange(promised_bytes_, 0));
  flush();
}

// Writing.

bool HttpConnection::is_on_strand() const {
  const auto executor = transport_->executor();
  const auto* strand = executor.target<asio::strand<asio::io_context::executor_type>>();
  return strand != nullptr && strand->running_in_this_thread();
}

void HttpConnection::push(std::string bytes) {
  unsent_->fetch_add(bytes.size(), std::memory_order_relaxed);
  if (out_.empty()) {
    out_ = std::move(bytes);
  } else {
    out_ += bytes;
  }
  flush();
}

void HttpConnection::flush() {
  if (is_writing_ || phase_ == Phase::kClosed) return;
  write_at_once();
  if (num_sent_ == sending_.size()) {
    // Not from here: a client's next requests would each be answered within the one before.
    if (phase_ != Phase::kAnswer || !is_complete_) return;
    return asio::post(transport_->executor(),
                      [self = shared_from_this()] { self->on_all_written(); });
  }
  is_writing_ = true;
  write_deadline_.expires_after(shared_->limits.write_time);
  write_deadline_.async_wait([weak = weak_from_this()](const Transport::Error& error) {
    const auto self = weak.lock();
    if (error || !self || !self->is_writing_) return;
    if (self->write_deadline_.expiry() <= Clock::now()) {
      self->close(CloseReason::kSlowClient, true);
    }
  });
  transport_->write_some(next_piece(), [self = shared_from_this()](const Transport::Error& error,
                                                                   std::size_t written) {
    self->is_writing_ = false;
    self->on_written(error, written);
  });
}

asio::const_buffer HttpConnection::next_piece() const {
  const std::size_t count = std::min(kMaxWriteBytes, sending_.size() - num_sent_);
  return asio::buffer(sending_.data() + num_sent_, count);
}

void HttpConnection::write_at_once() {
  for (;;) {
    if (num_sent_ == sending_.size()) {
      sending_.clear();
      num_sent_ = 0;
      std::swap(sending_, out_);
    }
    if (sending_.empty()) return;
    const std::size_t count = transport_->try_write(next_piece());
    if (count == 0) return;
    num_sent_ += count;
    unsent_->fetch_sub(count, std::memory_order_relaxed);
  }
}

void HttpConnection::on_written(const Transport::Error& error, std::size_t count) {
  if (phase_ == Phase::kClosed) return;
  if (error) return close(CloseReason::kClientGone, false);
  write_deadline_.cancel();
  num_sent_ += count;
  unsent_->fetch_sub(count, std::memory_order_relaxed);
  flush();
}

void HttpConnection::on_all_written() {
  if (phase_ != Phase::kAnswer || !is_complete_) return;
  count_answer(false);
  if (closes_after_) return linger();
  await_request();
}

// Ending.

void HttpConnection::linger() {
  phase_ = Phase::kLinger;
  set_deadline(kLingerTime);
  transport_->shutdown_send([self = shared_from_this()](const Transport::Error&) {
    if (self->phase_ == Phase::kLinger) self->read();
  });
}

void HttpConnection::close(CloseReason reason, bool is_reset) {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  count_answer(false);
  is_exchange_closed_->store(!is_complete_, std::memory_order_relaxed);
  deadline_.cancel();
  write_deadline_.cancel();
  transport_->close(is_reset);
  if (const auto callback = std::exchange(on_close_, nullptr)) callback(reason);
}

void HttpConnection::set_deadline(Clock::duration from_now) {
  deadline_.expires_after(from_now);
  deadline_.async_wait([weak = weak_from_this()](const Transport::Error& error) {
    const auto self = weak.lock();
    if (error || !self || self->deadline_.expiry() > Clock::now()) return;
    self->on_deadline();
  });
}

void HttpConnection::on_deadline() {
  switch (phase_) {
    case Phase::kBody:
      return refuse(408, "the request's body arrived too slowly");
    case Phase::kHead:
      if (!in_.empty()) return refuse(408, "the request's head arrived too slowly");
      return close(CloseReason::kClientGone, false);
    case Phase::kHandshake:
    case Phase::kLinger:
      return close(CloseReason::kClientGone, false);
    // It had run out just before it was cancelled.
    case Phase::kAnswer:
    case Phase::kClosed:
      return;
  }
}

}  // namespace llava::serve
