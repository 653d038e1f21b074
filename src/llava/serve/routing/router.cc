// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/routing/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <random>
#include <utility>

#include "llava/core/log.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.size(), path.find('/'));
    parts.emplace_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return parts;
}

bool is_request_id(std::string_view id) {
  const auto is_plain = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !id.empty() && id.size() <= 64 && std::ranges::all_of(id, is_plain);
}

/// The name in a Host header, without its port.
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, std::min(host.size(), host.find(']') + 1));
  return host.substr(0, host.find(':'));
}

HttpResponse not_found(const std::string& path) {
  if (path.starts_with("/v1/")) {
    return error_response(ApiError(404, "not_found", fmt::format("there is no '{}' here", path)));
  }
  return make_response(404, "application/json", R"({"detail":"Not Found"})");
}

/// An exchange whose answers carry the request's id and the time taken, and whose end is recorded.
class RecordedExchange final : public HttpExchange {
 public:
  RecordedExchange(std::shared_ptr<HttpExchange> inner, RequestRecord record,
                   std::vector<HttpHeader> headers,
                   std::function<void(const RequestRecord&)> on_record)
      : inner_(std::move(inner)),
        record_(std::move(record)),
        headers_(std::move(headers)),
        on_record_(std::move(on_record)) {}
  ~RecordedExchange() override {
    if (status_.load() == 0) status_ = inner_->is_closed() ? 499 : 500;
    record_.status = status_;
    record_.milliseconds = elapsed_ms();
    if (on_record_) on_record_(record_);
  }
  RecordedExchange(const RecordedExchange&) = delete;
  RecordedExchange& operator=(const RecordedExchange&) = delete;

  void respond(HttpResponse response) override {
    decorate(response);
    inner_->respond(std::move(response));
  }
  void start(HttpResponse response) override {
    decorate(response);
    inner_->start(std::move(response));
  }
  void write(std::string piece) override { inner_->write(std::move(piece)); }
  void finish() override { inner_->finish(); }
  void abort() override { inner_->abort(); }
  void on_close(std::function<void(CloseReason)> callback) override {
    inner_->on_close(std::move(callback));
  }
  bool is_closed() const override { return inner_->is_closed(); }
  std::size_t unsent_bytes() const override { return inner_->unsent_bytes(); }
  void post(std::function<void()> task) override { inner_->post(std::move(task)); }

 private:
  double elapsed_ms() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin_).count();
  }

  void decorate(HttpResponse& response) {
    status_ = response.status;
    for (const HttpHeader& header : headers_) response.headers.push_back(header);
    if (!find_header(response.headers, "Cache-Control")) {
      response.with("Cache-Control", "no-store");
    }
    response.with("X-Processing-Ms", fmt::format("{:.0f}", elapsed_ms()));
  }

  std::shared_ptr<HttpExchange> inner_;
  RequestRecord record_;
  std::vector<HttpHeader> headers_;
  std::function<void(const RequestRecord&)> on_record_;
  Clock::time_point begin_ = Clock::now();
  std::atomic<int> status_{0};
};

}  // namespace

struct Router::Route {
  std::string method;
  std::string pattern;
  std::vector<std::string> parts;
  Access access;
  RouteFunction function;

  /// The parameters of a path that fits.
  std::optional<std::map<std::string, std::string>> match(
      const std::vector<std::string>& path) const {
    std::map<std::string, std::string> found;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::string& part = parts[i];
      const bool is_name = part.starts_with('{');
      if (is_name && part.ends_with("*}")) {
        if (i >= path.size()) return std::nullopt;
        std::string rest = path[i];
        for (std::size_t j = i + 1; j < path.size(); ++j) rest += "/" + path[j];
        found[part.substr(1, part.size() - 3)] = std::move(rest);
        return found;
      }
      if (i >= path.size() || (!is_name && part != path[i])) return std::nullopt;
      if (is_name) found[part.substr(1, part.size() - 2)] = path[i];
    }
    if (path.size() != parts.size()) return std::nullopt;
    return found;
  }
};

struct Router::Match {
  const Route* route = nullptr;
  std::map<std::string, std::string> parameters;
  std::string other_methods;  ///< that the path has, when it lacks this one
};

Router::Router(RouterConfig config, const ApiKeys& keys)
    : config_(std::move(config)), keys_(keys) {}
Router::~Router() = default;

void Router::add(std::string method, std::string pattern, Access access, RouteFunction function) {
  std::vector<std::string> parts = split_path(pattern);
  routes_.push_back(
      {std::move(method), std::move(pattern), std::move(parts), access, std::move(function)});
}

void Router::on_record(std::function<void(const RequestRecord&)> callback) {
  on_record_ = std::move(callback);
}

Router::Match Router::find(const std::string& method, const std::string& path) const {
  Match match;
  const std::vector<std::string> parts = split_path(path);
  for (const Route& route : routes_) {
    auto parameters = route.match(parts);
    if (!parameters) continue;
    if (route.method == method || (route.method == "GET" && method == "HEAD")) {
      match.route = &route;
      match.parameters = std::move(*parameters);
      return match;
    }
    if (match.other_methods.find(route.method) == std::string::npos) {
      match.other_methods += (match.other_methods.empty() ? "" : ", ") + route.method;
    }
  }
  return match;
}

bool Router::is_allowed_host(const HttpRequest& head) const {
  if (config_.allowed_hosts.empty()) return true;
  const auto host = head.header("Host");
  return host && std::ranges::any_of(config_.allowed_hosts, [&](const std::string& allowed) {
           return equals_ignoring_case(allowed, host_name(*host));
         });
}

void Router::add_cors(const HttpRequest& head, HttpResponse& response) const {
  const auto origin = head.header("Origin");
  if (!origin) return;
  for (const std::string& allowed : config_.cors_origins) {
    if (allowed != "*" && allowed != *origin) continue;
    response.with("Access-Control-Allow-Origin", allowed == "*" ? "*" : std::string(*origin));
    if (allowed != "*") response.with("Vary", "Origin");
    response.with("Access-Control-Expose-Headers", "X-Request-Id, X-Processing-Ms, Retry-After");
    return;
  }
}

std::optional<HttpResponse> Router::check(const HttpRequest& head, const Match& match) const {
  if (!is_allowed_host(head)) {
    return error_response(ApiError(
        403, "host_not_allowed",
        "this server is not called by that name: add it with --allowed-host, or listen on another "
        "address"));
  }
  if (head.method == "OPTIONS" && head.header("Access-Control-Request-Method")) {
    HttpResponse preflight{.status = 204, .headers = {}, .body = {}};
    preflight.with("Access-Control-Allow-Methods", "GET, POST, DELETE")
        .with("Access-Control-Allow-Headers",
              "Authorization, Content-Type, X-Api-Key, X-Request-Id")
        .with("Access-Control-Max-Age", "600");
    return preflight;
  }
  if (match.route == nullptr && match.other_methods.empty()) return not_found(head.path);
  if (match.route == nullptr) {
    return make_response(405, "application/json", R"({"detail":"Method Not Allowed"})")
        .with("Allow", match.other_methods);
  }
  if (match.route->access == Access::kKey && !keys_.is_open() && !keys_.find(head)) {
    return error_response(ApiError(401, "invalid_api_key",
                                   "the request shows no key that is known here: send it as "
                                   "'Authorization: Bearer KEY'"));
  }
  return std::nullopt;
}

std::optional<HttpResponse> Router::admit(const HttpRequest& head, uint64_t& /*max_body_bytes*/) {
  const Match match = find(head.method, head.path);
  auto refusal = check(head, match);
  if (!refusal) return std::nullopt;
  add_cors(head, *refusal);
  if (on_record_) {
    on_record_({.id = make_request_id(),
                .client = head.client_address,
                .method = head.method,
                .route = match.route != nullptr ? match.route->pattern : "",
                .status = refusal->status});
  }
  return refusal;
}

void Router::handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
  Match match = find(request.method, request.path);
  RouteCall call;
  const auto given = request.header("X-Request-Id");
  call.id = given && is_request_id(*given) ? std::string(*given) : make_request_id();
  const auto key = keys_.find(request);
  call.client = key ? key->name : request.client_address;
  call.may_set_priority = key && key->may_set_priority;
  call.parameters = std::move(match.parameters);
  HttpResponse extra;
  extra.with("X-Request-Id", call.id);
  add_cors(request, extra);
  const auto recorded =
      std::make_shared<RecordedExchange>(std::move(exchange),
                                         RequestRecord{.id = call.id,
                                                       .client = call.client,
                                                       .method = request.method,
                                                       .route = match.route->pattern},
                                         std::move(extra.headers), on_record_);
  call.exchange = recorded;
  call.request = std::move(request);
  try {
    match.route->function(std::move(call));
  } catch (...) {
    answer_exception(*recorded);
  }
}

HttpResponse Router::refuse(int status, const std::string& message) {
  switch (status) {
    case 408:
      return error_response(ApiError(408, "request_timeout", message));
    case 413:
      return error_response(ApiError(413, "request_too_large", message));
    case 503: {
      ApiError error(503, "overloaded", message);
      error.retry_after = 1;
      return error_response(error);
    }
    case 500:
      return error_response(ApiError(500, "internal_error", message));
    default:
      return error_response(ApiError(status, "invalid_request", message));
  }
}

void answer_exception(HttpExchange& exchange) {
  try {
    throw;
  } catch (const ApiError& error) {
    exchange.respond(error_response(error));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) log_error("request", {{"error", error.what()}});
    exchange.respond(error_response(to_api_error(error)));
  } catch (const std::exception& error) {
    log_error("request", {{"error", error.what()}});
    exchange.respond(error_response(ApiError(500, "internal_error", "internal error")));
  }
}

std::string make_request_id() {
  static constexpr std::string_view kDigits = "abcdefghijklmnopqrstuvwxyz234567";
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  std::string id;
  for (int word = 0; word < 2; ++word) {
    uint64_t bits = generator();
    for (int i = 0; i < 13; ++i, bits >>= 5) id += kDigits[bits & 31];
  }
  return id;
}

}  // namespace llava::serve
