// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/chat/answer_pump.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "llava/core/log.h"

namespace llava::serve {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLongestTick{1000};

class Pump : public std::enable_shared_from_this<Pump> {
 public:
  Pump(std::shared_ptr<engine::AnswerStream> stream, std::shared_ptr<HttpExchange> exchange,
       std::unique_ptr<AnswerWriter> writer, const AnswerTimes& times)
      : stream_(std::move(stream)),
        exchange_(std::move(exchange)),
        writer_(std::move(writer)),
        times_(times) {}

  std::function<void(CloseReason)> start() {
    const auto on_close = [stream = stream_, weak = weak_from_this()](CloseReason reason) {
      stream->cancel();
      const auto self = weak.lock();
      if (self && self->writer_) self->writer_->note_close(reason);
    };
    exchange_->on_close(on_close);
    stream_->on_change([self = shared_from_this()] { self->schedule(); });
    schedule();
    if (shortest_time() > milliseconds(0)) watch_time();
    return on_close;
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
      while (const auto delta = stream_->try_next()) {
        last_delta_ = Clock::now();
        writer_->write(*delta);
      }
      if (!stream_->is_ended()) return;
      writer_->end(stream_->usage());
    } catch (const ApiError& error) {
      writer_->fail(error);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInternal) log_error("answer", {{"error", error.what()}});
      // What the engine ends by itself is what nobody fetches.
      writer_->fail(error.code() == ErrorCode::kCancelled
                        ? ApiError(408, "slow_client", error.what())
                        : to_api_error(error));
    }
    let_go();
  }

  void let_go() {
    writer_ = nullptr;
    // The stream held this object.
    stream_->on_change(nullptr);
  }

  milliseconds shortest_time() const {
    milliseconds shortest{0};
    for (const milliseconds time : {times_.queue, times_.total, times_.gap}) {
      if (time > milliseconds(0) && (shortest == milliseconds(0) || time < shortest))
        shortest = time;
    }
    return shortest;
  }

  /// Looks at the clock again and again; an answer that has ended is not held up by it.
  void watch_time() {
    exchange_->post_after(std::min(kLongestTick, shortest_time() / 4 + milliseconds(1)),
                          [weak = weak_from_this()] {
                            if (const auto self = weak.lock()) self->check_time();
                          });
  }

  void check_time() {
    if (!writer_) return;
    const auto is_over = [now = Clock::now()](milliseconds time, Clock::time_point since) {
      return time > milliseconds(0) && now - since >= time;
    };
    if (!stream_->has_started() && is_over(times_.queue, begin_)) {
      return give_up(ApiError(503, "queue_timeout",
                              fmt::format("the request waited for {} ms and its turn did not come",
                                          times_.queue.count())));
    }
    if (is_over(times_.total, begin_)) {
      return give_up(
          ApiError(504, "generation_timeout",
                   fmt::format("the answer took more than {} ms", times_.total.count())));
    }
    if (last_delta_ && is_over(times_.gap, *last_delta_)) {
      return give_up(ApiError(504, "generation_timeout",
                              fmt::format("no token came for {} ms", times_.gap.count())));
    }
    watch_time();
  }

  void give_up(const ApiError& error) {
    stream_->cancel();
    writer_->fail(error);
    let_go();
  }

  std::shared_ptr<engine::AnswerStream> stream_;
  std::shared_ptr<HttpExchange> exchange_;
  std::unique_ptr<AnswerWriter> writer_;
  const AnswerTimes times_;
  const Clock::time_point begin_ = Clock::now();
  std::optional<Clock::time_point> last_delta_;
  std::atomic<bool> is_scheduled_{false};
};

}  // namespace

std::function<void(CloseReason)> pump_answer(std::shared_ptr<engine::AnswerStream> stream,
                                             std::shared_ptr<HttpExchange> exchange,
                                             std::unique_ptr<AnswerWriter> writer,
                                             const AnswerTimes& times) {
  return std::make_shared<Pump>(std::move(stream), std::move(exchange), std::move(writer), times)
      ->start();
}

}  // namespace llava::serve
