// SPDX-License-Identifier: Apache-2.0
//
// Router: which function answers a request, who may ask, and what every answer carries.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/serve/http/http_handler.h"
#include "llava/serve/routing/api_keys.h"
#include "llava/serve/routing/rate_limits.h"
#include "llava/serve/routing/request_record.h"

namespace llava::serve {

/// Who may use a route.
enum class Access : uint8_t {
  kOpen,     ///< anybody
  kKey,      ///< who shows a key, where keys are in use
  kAdmin,    ///< who shows a key of the administrators'
  kMetrics,  ///< who shows the key of /metrics where there is one, else as kKey
};

/// One request on its way through a route's function.
struct RouteCall {
  HttpRequest request;
  std::shared_ptr<HttpExchange> exchange;
  std::string id;      ///< the client's X-Request-Id, or a new one
  std::string client;  ///< the key's name, else the address: whose turn it takes
  std::string owner;   ///< whose files and cached prefixes it can see: the key's name, or none
  bool may_set_priority = false;
  std::map<std::string, std::string> parameters;  ///< the path's, by name
  std::chrono::steady_clock::time_point received;
  /// To be filled with what the model does for it.
  std::shared_ptr<Guarded<RequestCost>> cost;
};

using RouteFunction = std::function<void(RouteCall call)>;

struct RouterConfig {
  std::vector<std::string> cors_origins;  ///< "*": any
  /// Names by which a server on a loopback address may be called, against pages whose name is made
  /// to point at it; empty: any.
  std::vector<std::string> allowed_hosts;
  /// Clients are told apart by the X-Forwarded-For of a proxy that is the only way to this server.
  bool trusts_proxy = false;
  bool has_flat_errors = false;           ///< as flatten_error writes them
  RateLimits* rate_limits = nullptr;      ///< null: none; outlives the router
  const ApiKeys* admin_keys = nullptr;    ///< for Access::kAdmin; outlives the router
  const ApiKeys* metrics_keys = nullptr;  ///< for Access::kMetrics; null: there is none
};

/// Errors that a route's function throws become answers: those of serve/protocol/api_error.h with
/// its body, paths without a route FastAPI's, which the original's clients know.
///
/// Threads: routes are added before the server starts; then safe.
class Router final : public HttpHandler {
 public:
  Router(RouterConfig config, const ApiKeys& keys);
  ~Router() override;

  /// A pattern is a path whose parts may be `{name}`; `{name*}` at its end takes the rest.
  void add(std::string method, std::string pattern, Access access, RouteFunction function);
  /// Called with the pattern of the route that takes a request, from any thread.
  void on_received(std::function<void(const std::string& route)> callback);
  /// Called once for each request, when it has ended, from any thread.
  void on_record(std::function<void(const RequestRecord&)> callback);

  std::optional<HttpResponse> admit(const HttpRequest& head, uint64_t& max_body_bytes) override;
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override;
  HttpResponse refuse(int status, const std::string& message) override;

  /// Answers a request that this process makes for whom `origin` names: with its rights, and past
  /// limits on the number of requests.
  void handle_for(const RouteCall& origin, HttpRequest request,
                  std::shared_ptr<HttpExchange> exchange);

 private:
  struct Route;
  struct Match;

  Match find(const std::string& method, const std::string& path) const;
  std::optional<HttpResponse> check(const HttpRequest& head, const Match& match) const;
  void dispatch(RouteCall call, HttpRequest request, std::shared_ptr<HttpExchange> exchange,
                RateLimits* limits);
  void add_cors(const HttpRequest& head, HttpResponse& response) const;
  bool is_allowed_host(const HttpRequest& head) const;
  bool may_use(const HttpRequest& head, Access access) const;
  bool is_limited(const Route& route) const;
  std::string address_of(const HttpRequest& head) const;

  RouterConfig config_;
  const ApiKeys& keys_;
  std::vector<Route> routes_;
  std::function<void(const std::string&)> on_received_;
  std::function<void(const RequestRecord&)> on_record_;
};

/// Answers with what the exception that is being handled means.
void answer_exception(HttpExchange& exchange);

/// 26 characters that no other request has.
std::string make_request_id();

}  // namespace llava::serve
