// SPDX-License-Identifier: Apache-2.0
//
// What a server counts, for Prometheus: requests by route, answers with their stages, and the
// engine's own numbers at the moment of the scrape.
#pragma once

#include <memory>
#include <string>

#include "llava/engine/answer_stream.h"
#include "llava/engine/engine.h"
#include "llava/serve/http/http_server.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Threads: safe.
class ServerMetrics {
 public:
  /// `model` labels everything about answers.
  explicit ServerMetrics(const std::string& model);
  ~ServerMetrics();
  ServerMetrics(const ServerMetrics&) = delete;
  ServerMetrics& operator=(const ServerMetrics&) = delete;

  void count_request(const RequestRecord& record);
  /// An answer that is complete: its tokens and the time of its stages.
  void count_answer(const engine::AnswerUsage& usage, int32_t image_tokens,
                    engine::FinishReason reason);
  /// A request that was refused or failed, by the code of its error.
  void count_error(const std::string& code);

  /// Everything in the text format 0.0.4.
  std::string scrape(const engine::EngineStats& engine, const HttpServerStats& http);

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace llava::serve
