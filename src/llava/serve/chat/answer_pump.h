// SPDX-License-Identifier: Apache-2.0
//
// Carries an answer from the engine's stream to the connection of whoever asked.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "llava/engine/answer_stream.h"
#include "llava/serve/http/http_exchange.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {

/// Writes an answer in the form of one front end.
///
/// Threads: called on the connection's strand.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;

  virtual void write(const engine::AnswerDelta& delta) = 0;
  /// The answer is complete.
  virtual void end(const engine::AnswerUsage& usage) = 0;
  /// The answer ends here, for this reason.
  virtual void fail(const ApiError& error) = 0;
  /// The client's connection has ended before the answer; what `end` says of it is that it was cut.
  virtual void note_close(CloseReason /*reason*/) {}
};

/// How long an answer may take before it is given up; 0: as long as it likes.
struct AnswerTimes {
  std::chrono::milliseconds queue{0};  ///< until its turn: 503 `queue_timeout`
  std::chrono::milliseconds total{0};  ///< altogether: 504 `generation_timeout`
  std::chrono::milliseconds gap{0};    ///< from one token to the next: the same
};

/// Gives the stream's deltas to the writer as they come, until the answer ends; a client that
/// leaves ends it at the engine's next step. Returns at once; what it has set as the exchange's
/// `on_close`, for exchanges with several answers.
std::function<void(CloseReason)> pump_answer(std::shared_ptr<engine::AnswerStream> stream,
                                             std::shared_ptr<HttpExchange> exchange,
                                             std::unique_ptr<AnswerWriter> writer,
                                             const AnswerTimes& times = {});

}  // namespace llava::serve
