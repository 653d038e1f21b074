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

/// The header when it is one of W3C Trace Context, version 00; else nothing.
std::string trace_parent_of(const HttpRequest& request) {
  constexpr std::string_view kForm = "00-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
  const std::string_view text = request.header("traceparent").value_or("");
  const auto fits = [](char c, char form) {
    return form == 'h' ? (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') : c == form;
  };
  const bool is_one = text.size() == kForm.size() && std::ranges::equal(text, kForm, fits);
  return is_one ? std::string(text) : std::string();
}

HttpResponse not_found(const std::string& path) {
  if (path.starts_with("/v1/")) {
    return error_response(ApiError(404, "not_found", fmt::format("there is no '{}' here", path)));
  }
  return make_response(404, "application/json", R"({"detail":"Not Found"})");
}

/// Why a request never became one.
ApiError refusal_of(int status, const std::string& message) {
  switch (status) {
    case 408:
      return {408, "request_timeout", message};
    case 413:
      return {413, "request_too_large", message};
    case 415:
      return {415, "unsupported_media_type", message};
    case 500:
      return {500, "internal_error", message};
    case 503: {
      ApiError error(503, "overloaded", message);
      error.retry_after = 1;
      return error;
    }
    default:
      return {status, "invalid_request", message};
  }
}

/// Ollama's clients read the words of an error alone, as text.
void fit_error(std::string_view path, HttpResponse& response) {
  if (!path.starts_with("/api/") || response.error_message.empty()) return;
  response.body = to_text(OrderedJson{{"error", response.error_message}});
}

/// An exchange whose answers carry the request's id and the time taken, and whose end is recorded.
class RecordedExchange final : public HttpExchange {
 public:
  /// Answers name the client's `limits`, unless that is null.
  RecordedExchange(std::shared_ptr<HttpExchange> inner, RequestRecord record,
                   std::vector<HttpHeader> headers,
                   std::function<void(const RequestRecord&)> on_record, const RateLimits* limits,
                   std::shared_ptr<Guarded<RequestCost>> cost, bool has_flat_errors)
      : inner_(std::move(inner)),
        record_(std::move(record)),
        headers_(std::move(headers)),
        on_record_(std::move(on_record)),
        limits_(limits),
        cost_(std::move(cost)),
        has_flat_errors_(has_flat_errors) {}
  ~RecordedExchange() override {
    if (status_.load() == 0) status_ = inner_->is_closed() ? 499 : 500;
    record_.status = status_;
    record_.milliseconds = elapsed_ms();
    record_.cost = cost_->with([](const RequestCost& cost) { return cost; });
    record_.error_code = error_code_.with([](std::string& code) { return std::move(code); });
    if (record_.error_code.empty()) record_.error_code = record_.cost.error_code;
    if (on_record_) on_record_(record_);
  }
  RecordedExchange(const RecordedExchange&) = delete;
  RecordedExchange& operator=(const RecordedExchange&) = delete;

  void respond(HttpResponse response) override {
    if (has_flat_errors_) flatten_error(response);
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
  /// Keeps the client's place among requests at the same time until the answer has ended.
  void keep(std::shared_ptr<void> place) { place_ = std::move(place); }
  std::size_t unsent_bytes() const override { return inner_->unsent_bytes(); }
  void post(std::function<void()> task) override { inner_->post(std::move(task)); }
  void post_after(std::chrono::milliseconds delay, std::function<void()> task) override {
    inner_->post_after(delay, std::move(task));
  }

 private:
  double elapsed_ms() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin_).count();
  }

  void decorate(HttpResponse& response) {
    status_ = response.status;
    fit_error(record_.route, response);
    error_code_.with([&](std::string& code) { code = response.error_code; });
    for (const HttpHeader& header : headers_) response.headers.push_back(header);
    if (limits_ != nullptr) {
      for (HttpHeader& header : limits_->headers(record_.client)) {
        response.headers.push_back(std::move(header));
      }
    }
    if (!find_header(response.headers, "Cache-Control")) {
      response.with("Cache-Control", "no-store");
    }
    response.with("X-Processing-Ms", fmt::format("{:.0f}", elapsed_ms()));
  }

  std::shared_ptr<HttpExchange> inner_;
  RequestRecord record_;
  std::vector<HttpHeader> headers_;
  std::function<void(const RequestRecord&)> on_record_;
  const RateLimits* limits_;
  std::shared_ptr<Guarded<RequestCost>> cost_;
  bool has_flat_errors_;
  std::shared_ptr<void> place_;
  Clock::time_point begin_ = Clock::now();
  std::atomic<int> status_{0};
  Guarded<std::string> error_code_;
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

void Router::on_received(std::function<void(const std::string&)> callback) {
  on_received_ = std::move(callback);
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

bool Router::may_use(const HttpRequest& head, Access access) const {
  switch (access) {
    case Access::kOpen:
      return true;
    case Access::kKey:
      return keys_.is_open() || keys_.find(head).has_value();
    case Access::kMetrics:
      if (config_.metrics_keys == nullptr) return keys_.is_open() || keys_.find(head).has_value();
      return config_.metrics_keys->find(head).has_value();
    case Access::kAdmin:
      break;
  }
  return config_.admin_keys != nullptr && config_.admin_keys->find(head).has_value();
}

bool Router::is_limited(const Route& route) const {
  return config_.rate_limits != nullptr && route.access == Access::kKey && route.method == "POST";
}

std::string Router::address_of(const HttpRequest& head) const {
  const auto forwarded = head.header("X-Forwarded-For");
  if (!config_.trusts_proxy || !forwarded) return head.client_address;
  // What the nearest proxy saw; what stands before it, anybody may have written.
  std::string_view last = forwarded->substr(forwarded->rfind(',') + 1);
  while (last.starts_with(' ')) last.remove_prefix(1);
  while (last.ends_with(' ')) last.remove_suffix(1);
  return last.empty() ? head.client_address : std::string(last.substr(0, 64));
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
  if (!may_use(head, match.route->access)) {
    return error_response(ApiError(401, "invalid_api_key",
                                   "the request shows no key that is known here: send it as "
                                   "'Authorization: Bearer KEY'"));
  }
  if (is_limited(*match.route)) {
    const auto key = keys_.find(head);
    try {
      config_.rate_limits->check_request(key ? key->name : address_of(head));
    } catch (const ApiError& error) {
      return error_response(error);
    }
  }
  return std::nullopt;
}

std::optional<HttpResponse> Router::admit(const HttpRequest& head, uint64_t& /*max_body_bytes*/) {
  const Match match = find(head.method, head.path);
  auto refusal = check(head, match);
  if (!refusal) return std::nullopt;
  if (config_.has_flat_errors) flatten_error(*refusal);
  fit_error(head.path, *refusal);
  add_cors(head, *refusal);
  if (on_record_) {
    on_record_({.id = make_request_id(),
                .client = head.client_address,
                .method = head.method,
                .route = match.route != nullptr ? match.route->pattern : "",
                .status = refusal->status,
                .error_code = refusal->error_code,
                .address = address_of(head)});
  }
  return refusal;
}

void Router::handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
  RouteCall call;
  const auto key = keys_.find(request);
  call.client = key ? key->name : address_of(request);
  if (key) call.owner = key->name;
  call.may_set_priority = key && key->may_set_priority;
  dispatch(std::move(call), std::move(request), std::move(exchange), config_.rate_limits);
}

void Router::handle_for(const RouteCall& origin, HttpRequest request,
                        std::shared_ptr<HttpExchange> exchange) {
  RouteCall call;
  call.client = origin.client;
  call.owner = origin.owner;
  call.may_set_priority = origin.may_set_priority;
  dispatch(std::move(call), std::move(request), std::move(exchange), nullptr);
}

void Router::dispatch(RouteCall call, HttpRequest request, std::shared_ptr<HttpExchange> exchange,
                      RateLimits* limits) {
  Match match = find(request.method, request.path);
  if (match.route == nullptr) return exchange->respond(not_found(request.path));
  if (on_received_) on_received_(match.route->pattern);
  const auto given = request.header("X-Request-Id");
  call.id = given && is_request_id(*given) ? std::string(*given) : make_request_id();
  call.parameters = std::move(match.parameters);
  call.received = Clock::now();
  call.cost = std::make_shared<Guarded<RequestCost>>();
  HttpResponse extra;
  extra.with("X-Request-Id", call.id);
  add_cors(request, extra);
  if (!is_limited(*match.route)) limits = nullptr;
  const auto recorded = std::make_shared<RecordedExchange>(
      std::move(exchange),
      RequestRecord{.id = call.id,
                    .client = call.client,
                    .method = request.method,
                    .route = match.route->pattern,
                    .key = call.owner,
                    .address = address_of(request),
                    .trace_parent = trace_parent_of(request)},
      std::move(extra.headers), on_record_, limits, call.cost, config_.has_flat_errors);
  call.exchange = recorded;
  call.request = std::move(request);
  try {
    if (limits != nullptr) recorded->keep(limits->enter(call.client));
    match.route->function(std::move(call));
  } catch (...) {
    answer_exception(*recorded);
  }
}

HttpResponse Router::refuse(int status, const std::string& message) {
  HttpResponse response = error_response(refusal_of(status, message));
  if (config_.has_flat_errors) flatten_error(response);
  return response;
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
