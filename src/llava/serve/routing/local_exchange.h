// SPDX-License-Identifier: Apache-2.0
//
// LocalExchange: the answer to a request that this process makes to itself.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/strand.hpp>
#include <functional>
#include <string>

#include "llava/serve/http/http_exchange.h"

namespace llava::serve {

/// Keeps the answer and gives it away when it is complete, or when nobody is left who could give
/// one (as status 500).
///
/// Threads: safe; `on_answer` is called once, on the executor.
class LocalExchange final : public HttpExchange,
                            public std::enable_shared_from_this<LocalExchange> {
 public:
  using Executor = boost::asio::strand<boost::asio::any_io_executor>;

  LocalExchange(const boost::asio::any_io_executor& executor,
                std::function<void(HttpResponse)> on_answer);
  ~LocalExchange() override;
  LocalExchange(const LocalExchange&) = delete;
  LocalExchange& operator=(const LocalExchange&) = delete;

  /// Whoever answers learns that the client has left; `on_answer` is still called.
  void close();

  void respond(HttpResponse response) override;
  void start(HttpResponse response) override;
  void write(std::string piece) override;
  void finish() override;
  void abort() override;
  void on_close(std::function<void(CloseReason)> callback) override;
  bool is_closed() const override { return is_closed_; }
  std::size_t unsent_bytes() const override { return 0; }
  void post(std::function<void()> task) override;
  void post_after(std::chrono::milliseconds delay, std::function<void()> task) override;

 private:
  /// What the answer is, on the strand.
  struct State {
    HttpResponse response;
    std::function<void(HttpResponse)> on_answer;
    std::function<void(CloseReason)> on_close;

    void complete(HttpResponse answer);
  };

  Executor strand_;
  std::shared_ptr<State> state_;
  std::atomic<bool> is_closed_{false};
};

}  // namespace llava::serve
