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

#include "llava/serve/http/http_handler.h"
#include "llava/serve/routing/api_keys.h"

namespace llava::serve {

/// Who may use a route.
enum class Access : uint8_t {
  kOpen,  ///< anybody
  kKey,   ///< who shows a key, where keys are in use
};

/// One request on its way through a route's function.
struct RouteCall {
  HttpRequest request;
  std::shared_ptr<HttpExchange> exchange;
  std::string id;      ///< the client's X-Request-Id, or a new one
  std::string client;  ///< the key's name, else the address: whose turn it takes
  bool may_set_priority = false;
  std::map<std::string, std::string> parameters;  ///< the path's, by name
};

using RouteFunction = std::function<void(RouteCall call)>;

struct RouterConfig {
  std::vector<std::string> cors_origins;  ///< "*": any
  /// Names by which a server on a loopback address may be called, against pages whose name is made
  /// to point at it; empty: any.
  std::vector<std::string> allowed_hosts;
};

/// What is told of a request when it has ended.
struct RequestRecord {
  std::string id;
  std::string client;
  std::string method;
  std::string route;  ///< the pattern; empty when there is none
  int status = 0;     ///< 499: the client left before there was one
  double milliseconds = 0;
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
  /// Called once for each request, from any thread.
  void on_record(std::function<void(const RequestRecord&)> callback);

  std::optional<HttpResponse> admit(const HttpRequest& head, uint64_t& max_body_bytes) override;
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override;
  HttpResponse refuse(int status, const std::string& message) override;

 private:
  struct Route;
  struct Match;

  Match find(const std::string& method, const std::string& path) const;
  std::optional<HttpResponse> check(const HttpRequest& head, const Match& match) const;
  void add_cors(const HttpRequest& head, HttpResponse& response) const;
  bool is_allowed_host(const HttpRequest& head) const;

  RouterConfig config_;
  const ApiKeys& keys_;
  std::vector<Route> routes_;
  std::function<void(const RequestRecord&)> on_record_;
};

/// Answers with what the exception that is being handled means.
void answer_exception(HttpExchange& exchange);

/// 26 characters that no other request has.
std::string make_request_id();

}  // namespace llava::serve
