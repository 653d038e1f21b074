// SPDX-License-Identifier: Apache-2.0
//
// What a server with a model counts, for Prometheus: answers with their stages, pictures, the
// engine's steps, and the engine's own numbers at the moment of the scrape.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llava/engine/answer_stream.h"
#include "llava/engine/engine.h"
#include "llava/serve/http/http_server.h"

namespace llava::serve {

class HttpMetrics;

/// An answer that is complete.
struct AnswerCount {
  engine::AnswerUsage usage;
  int32_t image_tokens = 0;
  int32_t num_images = 0;
  int32_t num_choices = 1;
  int32_t max_tokens = 0;    ///< of one choice, as was asked for
  double preprocess_ms = 0;  ///< from the last byte of the request to the engine
  engine::FinishReason reason = engine::FinishReason::kEndToken;
  bool is_slow_client = false;  ///< who was to read it was cut off for reading too slowly
};

/// What is so at the moment of a scrape.
struct ServerMoment {
  engine::EngineStats engine;
  HttpServerStats http;
  int32_t num_preparing = 0;
  int32_t num_compiling = 0;  ///< of these, whose grammar is compiled
  bool is_draining = false;
};

/// Threads: safe.
class ServerMetrics {
 public:
  /// `model` labels everything but what HttpMetrics counts; `compat` lists programs whose names are
  /// written too.
  ///
  /// Throws: what read_metrics_compat throws.
  ServerMetrics(const std::string& model, std::string_view compat);
  ~ServerMetrics();
  ServerMetrics(const ServerMetrics&) = delete;
  ServerMetrics& operator=(const ServerMetrics&) = delete;

  HttpMetrics& http();

  /// An answer that is complete: its tokens and the time of its stages.
  void count_answer(const AnswerCount& answer);
  /// An answer that the engine had taken and that failed, by the code of the error.
  void count_failed_answer(const std::string& code);
  /// A step of the engine.
  void count_step(const engine::StepRecord& step);
  /// A picture that was decoded: where it came from (`data`, `url`, `file`, `path`), its format and
  /// its pixels.
  void count_image(const std::string& source, const std::string& format, int64_t num_pixels);
  /// A picture that a request names and that could not be used, by the code of the error.
  void count_image_failure(const std::string& code);
  /// A picture that was looked for among those decoded before.
  void count_decoded_lookup(bool is_hit);
  /// A picture that was asked of another host, whether it came or not.
  void count_image_fetch(double seconds);
  /// A request that was refused or failed, by the code of its error.
  void count_error(const std::string& code);

  /// Everything in the text format 0.0.4.
  std::string scrape(const ServerMoment& moment);

 private:
  struct Families;

  std::vector<std::string> compat_;
  std::unique_ptr<Families> families_;
};

}  // namespace llava::serve
