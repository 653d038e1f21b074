// SPDX-License-Identifier: Apache-2.0
//
// StreamedAnswer: an answer in pieces whose status and headers go out with the first of them, so
// that what fails before can still be an HTTP error.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "llava/serve/http/http_exchange.h"

namespace llava::serve {

/// Threads: one thread at a time.
class StreamedAnswer {
 public:
  /// `head` has status and headers, and no body.
  StreamedAnswer(std::shared_ptr<HttpExchange> exchange, HttpResponse head)
      : exchange_(std::move(exchange)), head_(std::move(head)) {}

  bool has_started() const { return has_started_; }

  void put(std::string piece) {
    if (has_started_) return exchange_->write(std::move(piece));
    has_started_ = true;
    head_.body = std::move(piece);
    exchange_->start(std::move(head_));
  }

  void finish() { exchange_->finish(); }

 private:
  std::shared_ptr<HttpExchange> exchange_;
  HttpResponse head_;
  bool has_started_ = false;
};

}  // namespace llava::serve
