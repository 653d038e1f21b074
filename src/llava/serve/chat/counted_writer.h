// SPDX-License-Identifier: Apache-2.0
//
// CountedWriter: counts an answer on its way to its writer: for metrics, rate limits, the estimate
// of the load and the request's record.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "llava/core/guarded.h"
#include "llava/engine/engine.h"
#include "llava/serve/chat/answer_pump.h"
#include "llava/serve/chat/load_estimate.h"
#include "llava/serve/metrics/server_metrics.h"
#include "llava/serve/routing/rate_limits.h"
#include "llava/serve/routing/request_record.h"

namespace llava::serve {

/// Where answers are counted; all of it outlives them.
struct AnswerAccounts {
  ServerMetrics& metrics;
  LoadEstimate& load;
  engine::Engine& engine;
  RateLimits* rate_limits;  ///< null: none
  std::string model;
};

/// What is known of an answer before it begins.
struct CountedRequest {
  std::string client;
  int32_t image_tokens = 0;
  int32_t num_images = 0;
  int32_t num_choices = 1;
  int32_t max_new_tokens = 0;
  int64_t reserved_tokens = 0;  ///< that were taken of the client's rate
  double preprocess_ms = 0;
  std::string prompt;                          ///< for its record; empty: what is said is not kept
  std::shared_ptr<Guarded<RequestCost>> cost;  ///< may be null
};

/// 503 with the time after which it makes sense to come again.
ApiError with_retry_after(ApiError error, const AnswerAccounts& accounts);

/// Threads: as AnswerWriter.
class CountedWriter final : public AnswerWriter {
 public:
  /// `accounts` outlives it.
  CountedWriter(std::unique_ptr<AnswerWriter> inner, const AnswerAccounts& accounts,
                CountedRequest request);

  void write(const engine::AnswerDelta& delta) override;
  void end(const engine::AnswerUsage& usage) override;
  void fail(const ApiError& error) override;
  void note_close(CloseReason reason) override;
  /// The engine did not take it.
  void take_back() { give_back(0); }

 private:
  void give_back(int64_t num_used);
  void note(const engine::AnswerUsage& usage);
  void note_content();

  std::unique_ptr<AnswerWriter> inner_;
  const AnswerAccounts& accounts_;
  CountedRequest request_;
  std::string answer_;  ///< where what is said is kept
  engine::FinishReason reason_ = engine::FinishReason::kEndToken;
  bool is_slow_client_ = false;
};

}  // namespace llava::serve
