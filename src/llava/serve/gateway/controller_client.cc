// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/controller_client.h"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/serve/legacy/wire_json.h"

namespace llava::serve {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kAnswerTime{5};

/// What `read` makes of the object in a body; nothing when it is none.
template <class Read>
auto read_object(const std::string& body, Read read) -> decltype(read(std::declval<JsonObject>())) {
  try {
    const Json json = parse_json(body, "a controller's answer");
    return read(JsonObject(json, "a controller's answer"));
  } catch (const Error& error) {
    log_warning("controller_answer", {{"error", error.what()}});
    return std::nullopt;
  }
}

}  // namespace

ControllerClient::ControllerClient(OutgoingHttp& http, std::vector<std::string> controllers,
                                   std::string token)
    : http_(http), controllers_(std::move(controllers)), token_(std::move(token)) {}

void ControllerClient::find_worker(
    const WorkerQuery& query, std::function<void(std::optional<std::string> address)> on_address) {
  OrderedJson body = {{"model", query.model}};
  // Members that an original controller does not look at.
  if (!query.prefix_key.empty()) body["prefix_key"] = query.prefix_key;
  if (!query.tried.empty()) body["tried"] = query.tried;
  ask(0, "/get_worker_address", compact_json(body),
      [this, query, on_address = std::move(on_address)](const std::optional<std::string>& answer) {
        if (!answer) return on_address(known_.choose(query.model, query.tried, Clock::now()));
        auto address =
            read_object(*answer, [](const JsonObject& json) { return json.get_string("address"); });
        if (address && !address->empty()) known_.remember(query.model, *address, Clock::now());
        on_address(std::move(address));
      });
}

void ControllerClient::list_models(
    std::function<void(std::optional<std::vector<std::string>> names)> on_names) {
  ask(0, "/list_models", "{}",
      [this, on_names = std::move(on_names)](const std::optional<std::string>& answer) {
        if (!answer) return on_names(known_.models(Clock::now()));
        auto names = read_object(
            *answer, [](const JsonObject& json) { return json.get_string_list("models"); });
        if (names) known_.remember_models(*names, Clock::now());
        on_names(std::move(names));
      });
}

void ControllerClient::refresh_workers(std::function<void()> on_end) {
  ask(0, "/refresh_all_workers", "{}",
      [on_end = std::move(on_end)](const std::optional<std::string>&) { on_end(); });
}

void ControllerClient::report_failure(const std::string& worker) {
  known_.forget(worker);
  const std::string body = compact_json({{"worker_name", worker}});
  for (const std::string& controller : controllers_) {
    // An original controller has no such path; it finds out by itself.
    http_.fetch(request_to(controller, "/report_failure", body), [](const OutgoingReply&) {});
  }
}

void ControllerClient::ask(std::size_t index, const std::string& path, const std::string& body,
                           OnBody on_body) {
  if (index == controllers_.size()) return on_body(std::nullopt);
  http_.fetch(request_to(controllers_[index], path, body),
              [this, index, path, body, on_body = std::move(on_body)](const OutgoingReply& reply) {
                if (reply.end.is_ok()) return on_body(reply.body);
                log_warning("controller_fails", {{"controller", controllers_[index]},
                                                 {"status", reply.end.status},
                                                 {"error", reply.end.error}});
                ask(index + 1, path, body, on_body);
              });
}

OutgoingRequest ControllerClient::request_to(const std::string& controller, const std::string& path,
                                             const std::string& body) const {
  OutgoingRequest request{.url = controller + path, .body = body};
  request.connect_time = kAnswerTime;
  request.total_time = kAnswerTime;
  if (!token_.empty())
    request.headers.push_back({"Authorization", fmt::format("Bearer {}", token_)});
  return request;
}

}  // namespace llava::serve
