// SPDX-License-Identifier: Apache-2.0
//
// A worker that does what a test tells it.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <utility>

#include "llava/core/guarded.h"
#include "local_server.h"

namespace llava::serve {

/// A worker whose generating path answers as `answer` does.
class FakeWorker {
 public:
  using Answer = std::function<void(const RouteCall& call)>;

  FakeWorker(bool is_modern, Answer answer)
      : answer_(std::move(answer)), server_([this, is_modern](Router& router) {
          if (is_modern) {
            router.add("GET", "/v1/models", Access::kOpen, [](const RouteCall& call) {
              call.exchange->respond(make_response(200, "application/json", "{}"));
            });
          }
          for (const char* path : {"/v1/chat/completions", "/api/chat", "/generate"}) {
            if (is_modern) add(router, path);
          }
          if (!is_modern) add(router, "/worker_generate_stream");
        }) {}

  std::string address() const { return server_.address(); }
  HttpRequest last_request() const {
    return last_request_.with([](const auto& last) { return last; });
  }
  int num_requests() const { return num_requests_; }

 private:
  void add(Router& router, const char* path) {
    router.add("POST", path, Access::kOpen, [this](const RouteCall& call) {
      ++num_requests_;
      last_request_.with([&](auto& last) { last = call.request; });
      answer_(call);
    });
  }

  Answer answer_;
  std::atomic<int> num_requests_{0};
  Guarded<HttpRequest> last_request_;
  LocalServer server_;
};

inline FakeWorker::Answer whole(int status, const std::string& body) {
  return [=](const RouteCall& call) {
    call.exchange->respond(make_response(status, "application/json", body)
                               .with("Retry-After", "7")
                               .with("X-Own", "1"));
  };
}

}  // namespace llava::serve
