// SPDX-License-Identifier: Apache-2.0
//
// What is told of a request when it has ended: to the log, the metrics and traces.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace llava::serve {

/// What the model did for a request; of all its prompts together.
struct RequestCost {
  std::string model;  ///< empty: the request did not reach it
  std::string finish_reason;
  int64_t prompt_tokens = 0;
  int64_t image_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  double preprocess_ms = 0;  ///< until it was given to the engine
  double queue_ms = 0;
  double encode_ms = 0;
  double prefill_ms = 0;
  double decode_ms = 0;
  std::string error_code;  ///< of an answer that failed in the middle; empty: none
  /// With --log-content: the prompts, in which pictures are `<image>`, and the answers, each behind
  /// the other.
  std::string prompt;
  std::string answer;
};

struct RequestRecord {
  std::string id;
  std::string client;  ///< as in RouteCall
  std::string method;
  std::string route;  ///< the pattern; empty when there is none
  int status = 0;     ///< 499: the client left before there was one
  double milliseconds = 0;
  std::string error_code = {};    ///< empty: no error, or one of another protocol
  std::string key = {};           ///< its name; empty: none was shown
  std::string address = {};       ///< of the client
  std::string trace_parent = {};  ///< the client's traceparent (W3C Trace Context); empty: none
  std::chrono::system_clock::time_point received = std::chrono::system_clock::now();
  RequestCost cost = {};
};

}  // namespace llava::serve
