// SPDX-License-Identifier: Apache-2.0
//
// AnswerRelay: how a worker's answer becomes that of the client.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "llava/serve/http/http_message.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {

/// One worker's answer to one request.
///
/// Threads: one thread at a time.
class AnswerRelay {
 public:
  virtual ~AnswerRelay() = default;

  virtual void take_head(int status, const std::vector<HttpHeader>& headers) = 0;
  /// Throws: Error for what is no answer of a worker's.
  virtual void take(std::string_view bytes) = 0;
  /// The worker's answer is whole. A worker that refuses the request, so that another could be
  /// asked, gets nothing sent: what it said is returned.
  ///
  /// Throws: as `take`.
  virtual std::optional<HttpResponse> finish() = 0;

  /// Whether the client has got anything.
  virtual bool has_started() const = 0;
  /// Whether nothing more is wanted of the worker.
  virtual bool is_done() const = 0;
  /// Ends an answer that has started and cannot go on.
  virtual void fail(const ApiError& error) = 0;
};

}  // namespace llava::serve
