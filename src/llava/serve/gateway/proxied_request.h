// SPDX-License-Identifier: Apache-2.0
//
// ProxiedRequest: one request on its way through a gateway to a worker, or to another when that
// one fails.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/serve/gateway/answer_relay.h"
#include "llava/serve/gateway/gateway_parts.h"
#include "llava/serve/gateway/original_request.h"
#include "llava/serve/gateway/route_key.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// What OpenAI's API says of a model of which only the name is known.
OrderedJson named_model_json(const std::string& name);

/// Lives until its answer has ended. Its members belong to one thread at a time: one of the pool,
/// or the outgoing client's.
class ProxiedRequest : public std::enable_shared_from_this<ProxiedRequest> {
 public:
  /// `parts` outlives the request. `model` where the path names it; else the body does. `place` is
  /// kept until the answer has ended.
  ProxiedRequest(GatewayParts& parts, RouteCall call, std::string model,
                 std::shared_ptr<void> place = nullptr);

  /// Begins, on a thread of the pool.
  void start();

 private:
  void choose_model();
  void choose_worker();
  void take_worker(const std::optional<std::string>& address);
  void ask_worker(WorkerKind kind);
  void translate();
  void send(OutgoingRequest request, std::unique_ptr<AnswerRelay> relay);
  void on_bytes(std::string_view bytes);
  void on_end(const OutgoingEnd& end);
  void on_success();
  void on_failure(const OutgoingEnd& end);
  bool may_retry();
  void give_up();
  void answer_without_worker();
  /// Looks again after a while, unless that has been done for --cold-start-wait already.
  bool wait_for_first_worker(void (ProxiedRequest::*look)());
  void refuse(const ApiError& error);
  /// Runs `function`; what it throws is the answer.
  template <class Function>
  void attempt(Function function);

  GatewayParts& parts_;
  RouteCall call_;
  std::shared_ptr<HttpExchange> exchange_;
  std::shared_ptr<void> place_;
  RouteKey key_;
  std::vector<std::string> tried_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::mutex sending_;                       ///< held while a call is begun
  std::optional<OriginalRequest> original_;  ///< once it was needed
  std::unique_ptr<AnswerRelay> relay_;       ///< of the worker that is asked
  /// What to say when nobody else can be asked: a worker's refusal, or why the last one failed.
  std::optional<HttpResponse> last_answer_;
};

}  // namespace llava::serve
