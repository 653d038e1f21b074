// SPDX-License-Identifier: Apache-2.0
//
// An exchange that keeps its answer, and runs what is posted at once.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "llava/serve/http/http_exchange.h"

namespace llava::serve::testing {

class FakeExchange final : public HttpExchange {
 public:
  void respond(HttpResponse response) override { answer = std::move(response); }
  void start(HttpResponse response) override { answer = std::move(response); }
  void write(std::string piece) override { answer->body += piece; }
  void finish() override {}
  void abort() override {}
  void on_close(std::function<void(CloseReason)>) override {}
  bool is_closed() const override { return false; }
  std::size_t unsent_bytes() const override { return 0; }
  void post(std::function<void()> task) override { task(); }
  void post_after(std::chrono::milliseconds, std::function<void()> task) override { task(); }

  std::optional<HttpResponse> answer;
};

}  // namespace llava::serve::testing
