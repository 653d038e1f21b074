// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/chat/answer_pump.h"

#include <atomic>
#include <utility>

#include "llava/core/log.h"

namespace llava::serve {
namespace {

class Pump : public std::enable_shared_from_this<Pump> {
 public:
  Pump(std::shared_ptr<engine::AnswerStream> stream, std::shared_ptr<HttpExchange> exchange,
       std::unique_ptr<AnswerWriter> writer)
      : stream_(std::move(stream)), exchange_(std::move(exchange)), writer_(std::move(writer)) {}

  void start() {
    exchange_->on_close([stream = stream_](CloseReason) { stream->cancel(); });
    stream_->on_change([self = shared_from_this()] { self->schedule(); });
    schedule();
  }

 private:
  /// From any thread. Changes that come before the strand turns to them are one.
  void schedule() {
    if (is_scheduled_.exchange(true)) return;
    exchange_->post([self = shared_from_this()] {
      self->is_scheduled_ = false;
      self->drain();
    });
  }

  void drain() {
    if (!writer_) return;
    try {
      while (const auto delta = stream_->try_next()) writer_->write(*delta);
      if (!stream_->is_ended()) return;
      writer_->end(stream_->usage());
    } catch (const ApiError& error) {
      writer_->fail(error);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInternal) log_error("answer", {{"error", error.what()}});
      writer_->fail(to_api_error(error));
    }
    writer_ = nullptr;
    // The stream held this object.
    stream_->on_change(nullptr);
  }

  std::shared_ptr<engine::AnswerStream> stream_;
  std::shared_ptr<HttpExchange> exchange_;
  std::unique_ptr<AnswerWriter> writer_;
  std::atomic<bool> is_scheduled_{false};
};

}  // namespace

void pump_answer(std::shared_ptr<engine::AnswerStream> stream,
                 std::shared_ptr<HttpExchange> exchange, std::unique_ptr<AnswerWriter> writer) {
  std::make_shared<Pump>(std::move(stream), std::move(exchange), std::move(writer))->start();
}

}  // namespace llava::serve
