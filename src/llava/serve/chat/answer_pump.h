// SPDX-License-Identifier: Apache-2.0
//
// Carries an answer from the engine's stream to the connection of whoever asked.
#pragma once

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
};

/// Gives the stream's deltas to the writer as they come, until the answer ends; a client that
/// leaves ends it at the engine's next step. Returns at once.
void pump_answer(std::shared_ptr<engine::AnswerStream> stream,
                 std::shared_ptr<HttpExchange> exchange, std::unique_ptr<AnswerWriter> writer);

}  // namespace llava::serve
