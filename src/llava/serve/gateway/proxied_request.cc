// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/proxied_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <utility>

#include "llava/core/log.h"
#include "llava/serve/gateway/bytes_relay.h"
#include "llava/serve/gateway/forwarded_headers.h"
#include "llava/serve/gateway/records_relay.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

using Clock = std::chrono::steady_clock;

/// Workers that are asked after the first, while the client has got nothing.
constexpr std::size_t kMaxRetries = 2;
/// Time between two looks for a first worker, and what a client is told to wait that nobody had
/// one for: a model takes about so long to load.
constexpr std::chrono::milliseconds kLookTime{250};
constexpr int32_t kColdStartRetrySeconds = 10;

ApiError unavailable(const char* code, const std::string& message) {
  ApiError error(503, code, message);
  error.retry_after = 1;
  return error;
}

/// Whether a worker says that it does not know who asks.
bool is_refusal_of_key(int status) { return status == 401 || status == 403; }

/// A page elsewhere may send other types without asking first; our own workers check it themselves.
void check_content_type(const HttpRequest& request) {
  const std::string_view type = request.header("Content-Type").value_or("application/json");
  std::string_view media = type.substr(0, type.find(';'));
  while (media.ends_with(' ')) media.remove_suffix(1);
  if (equals_ignoring_case(media, "application/json") || request.body.empty()) return;
  throw ApiError(415, "unsupported_media_type",
                 fmt::format("the body's type is '{}', expected application/json", media));
}

}  // namespace

OrderedJson named_model_json(const std::string& name) {
  return {{"id", name}, {"object", "model"}, {"created", 0}, {"owned_by", "llava"}};
}

ProxiedRequest::ProxiedRequest(GatewayParts& parts, RouteCall call, std::string model,
                               std::shared_ptr<void> place)
    : parts_(parts), call_(std::move(call)), exchange_(call_.exchange), place_(std::move(place)) {
  key_.model = std::move(model);
}

template <class Function>
void ProxiedRequest::attempt(Function function) {
  try {
    function();
  } catch (const ApiError& error) {
    refuse(error);
  } catch (const Error& error) {
    refuse(to_api_error(error));
  } catch (const std::exception& error) {
    log_error("gateway", {{"error", error.what()}});
    refuse(ApiError(500, "internal_error", "internal error"));
  }
}

void ProxiedRequest::start() {
  parts_.retries.count_request();
  boost::asio::post(parts_.pool, [self = shared_from_this()] {
    self->attempt([&self] {
      if (self->call_.request.method != "GET" && self->call_.request.method != "HEAD") {
        self->key_ = read_route_key(parse_body(self->call_.request.body));
      }
      self->choose_model();
    });
  });
}

void ProxiedRequest::choose_model() {
  const std::string& path = call_.request.path;
  // Ollama's names have a tag.
  if (path.starts_with("/api/"))
    key_.model.resize(std::min(key_.model.size(), key_.model.find(':')));
  if (!key_.model.empty()) return choose_worker();
  parts_.controllers.list_models([self = shared_from_this()](const auto& names) {
    if (!names) return self->give_up();
    if (names->empty() && self->wait_for_first_worker(&ProxiedRequest::choose_model)) return;
    if (names->size() != 1) {
      return self->refuse(ApiError(400, "missing_field",
                                   fmt::format("model: is missing, and {} models are served: {}",
                                               names->size(), fmt::join(*names, ", ")),
                                   "model"));
    }
    self->key_.model = names->front();
    self->choose_worker();
  });
}

void ProxiedRequest::choose_worker() {
  WorkerQuery query{.model = key_.model, .prefix_key = key_.prefix, .tried = tried_};
  for (std::string& worker : parts_.breakers.open_ones(Clock::now())) {
    query.tried.push_back(std::move(worker));
  }
  parts_.controllers.find_worker(
      query, [self = shared_from_this()](const auto& address) { self->take_worker(address); });
}

void ProxiedRequest::take_worker(const std::optional<std::string>& address) {
  if (exchange_->is_closed()) return;
  if (!address) return give_up();
  // An original controller does not know who has been asked already.
  if (address->empty() || std::ranges::find(tried_, *address) != tried_.end()) {
    return answer_without_worker();
  }
  tried_.push_back(*address);
  parts_.breakers.begin(*address, Clock::now());
  parts_.kinds.find(*address, worker_authorization(call_.request, parts_.options),
                    [self = shared_from_this()](const std::optional<WorkerKind>& kind) {
                      if (kind) return self->ask_worker(*kind);
                      self->on_failure({.error = "it does not answer", .could_not_connect = true});
                    });
}

void ProxiedRequest::ask_worker(WorkerKind kind) {
  if (kind == WorkerKind::kOriginal) {
    boost::asio::post(parts_.pool, [self = shared_from_this()] {
      self->attempt([&self] { self->translate(); });
    });
    return;
  }
  OutgoingRequest request{.url = tried_.back() + call_.request.target,
                          .body = call_.request.body,
                          .headers = headers_for_worker(call_, parts_.options)};
  const bool has_body = call_.request.method != "GET" && call_.request.method != "HEAD";
  request.method = has_body ? OutgoingRequest::Method::kPost : OutgoingRequest::Method::kGet;
  send(std::move(request), std::make_unique<BytesRelay>(exchange_));
}

void ProxiedRequest::translate() {
  check_content_type(call_.request);
  const std::string& path = call_.request.path;
  if (path.starts_with("/v1/models/")) {
    return exchange_->respond(json_response(named_model_json(key_.model)));
  }
  if (!original_) {
    if (path == "/v1/chat/completions") {
      original_ = translate_chat(parse_body(call_.request.body), key_.model);
    } else if (path == "/v1/completions") {
      original_ = translate_completion(parse_body(call_.request.body), key_.model);
    } else {
      throw ApiError(501, "not_implemented",
                     fmt::format("the worker of model '{}' speaks the original's protocol only, "
                                 "which has nothing like {}",
                                 key_.model, path));
    }
  }
  OutgoingRequest request{.url = tried_.back() + "/worker_generate_stream",
                          .body = original_->body,
                          .headers = headers_for_worker(call_, parts_.options)};
  send(std::move(request),
       std::make_unique<RecordsRelay>(*original_, key_.model, call_.id, exchange_));
}

void ProxiedRequest::send(OutgoingRequest request, std::unique_ptr<AnswerRelay> relay) {
  relay_ = std::move(relay);
  request.silence_time = std::chrono::seconds(static_cast<int64_t>(parts_.options.worker_timeout));
  const auto self = shared_from_this();
  const std::lock_guard lock(sending_);
  const auto call = parts_.outgoing->start(
      std::move(request),
      {.on_bytes = [self](std::string_view bytes) { self->on_bytes(bytes); },
       .on_end = [self](const OutgoingEnd& end) { self->on_end(end); },
       .on_head = [self](int status,
                         const auto& headers) { self->relay_->take_head(status, headers); }});
  exchange_->on_close([call](CloseReason) { call->cancel(); });
}

void ProxiedRequest::on_bytes(std::string_view bytes) {
  relay_->take(bytes);
  // What is thrown here ends the request.
  if (relay_->is_done()) fail(ErrorCode::kCancelled, "the answer is complete");
}

void ProxiedRequest::on_end(const OutgoingEnd& end) {
  // What has begun this call on another thread is done with it.
  { const std::lock_guard lock(sending_); }
  if (exchange_->is_closed() && !relay_->is_done()) return;
  if (relay_->is_done()) return on_success();
  if (!end.error.empty()) return on_failure(end);
  if (is_refusal_of_key(end.status) && !parts_.options.forward_authorization) {
    log_error("worker_refuses_gateway", {{"worker", tried_.back()}, {"status", end.status}});
    return refuse(ApiError(502, "worker_failed",
                           "the worker does not let this gateway ask it: see --worker-token"));
  }
  try {
    last_answer_ = relay_->finish();
  } catch (const Error& error) {
    return on_failure({.status = end.status, .error = error.what()});
  }
  on_success();
  if (!last_answer_) return;
  if (may_retry()) return choose_worker();
  exchange_->respond(std::move(*last_answer_));
}

void ProxiedRequest::on_success() {
  parts_.breakers.report_success(tried_.back());
  parts_.metrics.count_attempt(tried_.back(), true);
}

void ProxiedRequest::on_failure(const OutgoingEnd& end) {
  const std::string& worker = tried_.back();
  log_warning("worker_fails",
              {{"id", call_.id}, {"worker", worker}, {"status", end.status}, {"error", end.error}});
  parts_.kinds.forget(worker);
  parts_.breakers.report_failure(worker, Clock::now());
  parts_.metrics.count_attempt(worker, false);
  if (end.could_not_connect) parts_.controllers.report_failure(worker);
  const ApiError error =
      end.has_timed_out
          ? ApiError(504, "worker_timeout",
                     fmt::format("the worker said nothing for {} s", parts_.options.worker_timeout))
          : ApiError(502, "worker_failed", "the worker was lost before its answer was complete");
  if (relay_ && relay_->has_started()) return relay_->fail(error);
  last_answer_ = error_response(error);
  // What one worker cannot do in its time, another would not do either.
  if (!end.has_timed_out && may_retry()) return choose_worker();
  exchange_->respond(std::move(*last_answer_));
}

bool ProxiedRequest::may_retry() {
  relay_ = nullptr;
  const bool may = !parts_.is_stopping && tried_.size() <= kMaxRetries && parts_.retries.take();
  if (may) parts_.metrics.count_retry();
  return may;
}

void ProxiedRequest::give_up() {
  if (last_answer_) return exchange_->respond(std::move(*last_answer_));
  refuse(unavailable("controller_unavailable",
                     "no controller answers; its operator finds the reason in this gateway's log"));
}

bool ProxiedRequest::wait_for_first_worker(void (ProxiedRequest::*look)()) {
  const std::chrono::duration<float> time(parts_.options.cold_start_wait);
  if (time.count() == 0 || !tried_.empty() || parts_.is_stopping) return false;
  if (Clock::now() - begin_ >= time) {
    ApiError error = unavailable(
        "no_worker", fmt::format("no worker of this model has come up within {} s", time.count()));
    error.retry_after = kColdStartRetrySeconds;
    refuse(error);
    return true;
  }
  // On a thread that ends before `parts_` does.
  const auto timer = std::make_shared<boost::asio::steady_timer>(parts_.pool, kLookTime);
  timer->async_wait([self = shared_from_this(), timer, look](const auto& error) {
    if (error || self->exchange_->is_closed()) return;
    self->attempt([&] { (self.get()->*look)(); });
  });
  return true;
}

void ProxiedRequest::answer_without_worker() {
  if (last_answer_) return exchange_->respond(std::move(*last_answer_));
  if (wait_for_first_worker(&ProxiedRequest::choose_worker)) return;
  parts_.controllers.list_models([self = shared_from_this()](const auto& names) {
    if (!names) return self->give_up();
    const std::string& model = self->key_.model;
    if (std::ranges::find(*names, model) == names->end()) {
      return self->refuse(ApiError(
          404, "model_not_found",
          fmt::format("the model '{}' does not exist; there {}: {}", model,
                      names->size() == 1 ? "is" : "are",
                      names->empty() ? "none" : fmt::format("{}", fmt::join(*names, ", "))),
          "model"));
    }
    self->refuse(unavailable("no_worker", "no worker of this model can be used at the moment"));
  });
}

void ProxiedRequest::refuse(const ApiError& error) { exchange_->respond(error_response(error)); }

}  // namespace llava::serve
