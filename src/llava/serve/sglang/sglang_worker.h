// SPDX-License-Identifier: Apache-2.0
//
// SglangWorker: the original's worker protocol in front of a server that speaks SGLang's.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/routing/route_set.h"
#include "llava/serve/sglang/model_info.h"
#include "llava/serve/worker/concurrency_gate.h"
#include "llava/serve/worker/worker_registration.h"

namespace llava::serve {

struct SglangWorkerOptions {
  SglangEndpoint endpoint;
  std::string model_name;
  bool is_multimodal = false;  ///< what controllers are told; pictures are sent on in any case
  int32_t limit_model_concurrency = 5;
  int32_t max_new_tokens = 1024;
  int32_t stream_interval = 1;  ///< tokens between two records
};

/// Threads: safe.
class SglangWorker final : public RouteSet {
 public:
  explicit SglangWorker(SglangWorkerOptions options);
  ~SglangWorker() override;

  void add_routes(Router& router) override;
  /// What it says of itself.
  WorkerReport report() const;

 private:
  class Answer;

  void begin(RouteCall call, bool is_stream);

  SglangWorkerOptions options_;
  std::shared_ptr<ConcurrencyGate> gate_;
  boost::asio::thread_pool pool_;  ///< decodes pictures
  std::unique_ptr<OutgoingHttp> outgoing_;
};

}  // namespace llava::serve
