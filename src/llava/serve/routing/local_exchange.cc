// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/routing/local_exchange.h"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace llava::serve {
namespace {

namespace asio = boost::asio;

}  // namespace

void LocalExchange::State::complete(HttpResponse answer) {
  on_close = nullptr;
  const auto callback = std::exchange(on_answer, nullptr);
  if (callback) callback(std::move(answer));
}

LocalExchange::LocalExchange(const asio::any_io_executor& executor,
                             std::function<void(HttpResponse)> on_answer)
    : strand_(asio::make_strand(executor)), state_(std::make_shared<State>()) {
  state_->on_answer = std::move(on_answer);
}

LocalExchange::~LocalExchange() {
  asio::post(strand_, [state = state_] {
    state->complete(make_response(500, "text/plain", "there was no answer"));
  });
}

void LocalExchange::close() {
  is_closed_ = true;
  asio::post(strand_, [state = state_] {
    const auto callback = std::exchange(state->on_close, nullptr);
    if (callback) callback(CloseReason::kClientGone);
  });
}

void LocalExchange::respond(HttpResponse response) {
  asio::post(strand_, [state = state_, response = std::move(response)]() mutable {
    state->complete(std::move(response));
  });
}

void LocalExchange::start(HttpResponse response) {
  asio::post(strand_, [state = state_, response = std::move(response)]() mutable {
    state->response = std::move(response);
  });
}

void LocalExchange::write(std::string piece) {
  asio::post(strand_,
             [state = state_, piece = std::move(piece)] { state->response.body += piece; });
}

void LocalExchange::finish() {
  asio::post(strand_, [state = state_] { state->complete(std::move(state->response)); });
}

void LocalExchange::abort() {
  asio::post(strand_, [state = state_] {
    state->complete(make_response(500, "text/plain", "the answer broke off"));
  });
}

void LocalExchange::on_close(std::function<void(CloseReason)> callback) {
  asio::post(strand_, [self = shared_from_this(), callback = std::move(callback)]() mutable {
    if (!self->state_->on_answer) return;
    if (self->is_closed_) return callback(CloseReason::kClientGone);
    self->state_->on_close = std::move(callback);
  });
}

void LocalExchange::post(std::function<void()> task) { asio::post(strand_, std::move(task)); }

void LocalExchange::post_after(std::chrono::milliseconds delay, std::function<void()> task) {
  const auto timer = std::make_shared<asio::steady_timer>(strand_, delay);
  timer->async_wait([timer, task = std::move(task)](const boost::system::error_code& error) {
    if (!error) task();
  });
}

}  // namespace llava::serve
