// SPDX-License-Identifier: Apache-2.0
//
// HttpConnection: one client's connection, from its first byte to its last: requests one after the
// other, each read within its bounds, handled, and answered.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "llava/serve/http/hand_over.h"
#include "llava/serve/http/http_handler.h"
#include "llava/serve/http/http_server.h"
#include "llava/serve/http/request_body.h"
#include "llava/serve/http/request_head.h"
#include "llava/serve/http/response_frame.h"
#include "llava/serve/http/transport.h"

namespace llava::serve {

/// What all connections of a server share.
struct ConnectionShared {
  HttpLimits limits;
  HttpHandler& handler;
  std::shared_ptr<HandOver> hand_over;
  std::atomic<int64_t> num_connections{0};
  std::atomic<int64_t> body_bytes{0};
  std::atomic<int64_t> num_answers{0};  ///< that clients have not taken to the end
  std::atomic<bool> is_draining{false};
};

/// Threads: everything runs on the transport's strand, except what says otherwise.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<ConnectionShared> shared, std::unique_ptr<Transport> transport);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  /// Begins. From any thread.
  void start();
  /// Closes the connection, at once or when it has nothing under way. From any thread.
  void stop(bool only_if_idle);

 private:
  class Exchange;
  using Clock = std::chrono::steady_clock;

  /// What the connection waits for.
  enum class Phase {
    kHandshake,
    kHead,
    kBody,
    kAnswer,  ///< the handler's answer, and the client taking all of it
    kLinger,  ///< the client closing its side, so that it sees the answer before the end
    kClosed,
  };

  // Reading.
  void await_request();
  void read();
  void on_read(const Transport::Error& error, std::size_t count);
  void progress();
  void begin_request(std::size_t head_size);
  /// Whether the body is packed; nothing when it is in a way that is not taken.
  std::optional<bool> take_encoding();
  void feed_body();
  void dispatch();
  void refuse(int status, const std::string& message);
  void refuse_with(HttpResponse response);
  bool promise_body(uint64_t total);

  // Answering; `number` is that of the exchange, later ones do nothing.
  void send_whole(uint64_t number, const HttpResponse& response);
  void send_start(uint64_t number, HttpResponse response);
  void send_piece(uint64_t number, std::string_view piece);
  void send_finish(uint64_t number);
  void send_abort(uint64_t number);
  void abandon(uint64_t number);
  void watch_close(uint64_t number, std::function<void(CloseReason)> callback);
  bool is_open(uint64_t number) const { return number == number_ && !is_complete_; }
  ResponseFraming framing(bool is_streamed) const;
  void complete();
  void count_answer(bool is_under_way);

  // Writing.
  /// From any thread.
  bool is_on_strand() const;
  void push(std::string bytes);
  void flush();
  /// Writes what the system takes without waiting.
  void write_at_once();
  boost::asio::const_buffer next_piece() const;
  void on_written(const Transport::Error& error, std::size_t count);
  void on_all_written();

  // Ending.
  void linger();
  void close(CloseReason reason, bool is_reset);
  void set_deadline(Clock::duration from_now);
  void on_deadline();

  std::shared_ptr<ConnectionShared> shared_;
  std::unique_ptr<Transport> transport_;
  Phase phase_ = Phase::kHandshake;

  std::array<char, 16 * 1024> chunk_;
  std::string in_;
  bool is_reading_ = false;
  bool is_half_closed_ = false;  ///< the client's side
  int64_t num_lingered_ = 0;

  RequestHead head_;
  std::optional<RequestBody> body_;
  Clock::time_point body_begin_;
  int64_t promised_bytes_ = 0;
  uint64_t num_requests_ = 0;

  uint64_t number_ = 0;  ///< of the exchange under way
  bool is_streaming_ = false;
  bool is_complete_ = true;
  bool is_counted_ = false;
  bool closes_after_ = false;
  std::function<void(CloseReason)> on_close_;
  /// Shared with the exchange under way, which may be asked from any thread.
  std::shared_ptr<std::atomic<bool>> is_exchange_closed_;

  std::string out_;
  std::string sending_;
  std::size_t num_sent_ = 0;
  bool is_writing_ = false;
  std::shared_ptr<std::atomic<std::size_t>> unsent_;

  boost::asio::steady_timer deadline_;
  boost::asio::steady_timer write_deadline_;
};

}  // namespace llava::serve
