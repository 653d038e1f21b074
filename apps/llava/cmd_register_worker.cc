// SPDX-License-Identifier: Apache-2.0
//
// `llava register-worker`: makes a worker known to a controller by hand; the original's
// register_worker, which could not tell whether it had worked.
#include <algorithm>
#include <cstdio>

#include "command.h"
#include "command_line.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/controller/worker_messages.h"
#include "llava/serve/legacy/wire_json.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "register-worker",
    .summary = "Makes a worker, or a controller in another network, known to a controller.",
    .details =
        "Without --check-heart-beat it stays known until the controller restarts or looks for "
        "lost\n"
        "workers: for what sends no heartbeats, such as another controller.",
    .examples =
        "  llava register-worker --controller-address http://localhost:21001 \\\n"
        "      --worker-name http://localhost:21002"};

struct RegisterOptions {
  std::string controller_address;
  std::string worker_name;
  std::string worker_token;
  bool check_heart_beat = false;

  template <class V>
  void describe(V& v) {
    v.required("controller-address", controller_address, "where the controller is");
    v.required("worker-name", worker_name, "where the worker is, which is also its name");
    v.field("check-heart-beat", check_heart_beat,
            "forget the worker when it sends no heartbeat for 30 s");
    v.field("worker-token", worker_token, "secret that controller and worker want to be shown");
  }
};

std::string ask(serve::OutgoingHttp& http, const RegisterOptions& options,
                const std::string& address, const std::string& body) {
  serve::OutgoingRequest request{.url = address, .body = body};
  if (!options.worker_token.empty()) {
    request.headers.push_back({"Authorization", "Bearer " + options.worker_token});
  }
  const serve::OutgoingReply reply = http.fetch(std::move(request));
  if (!reply.end.is_ok()) {
    fail(ErrorCode::kUnavailable, "'{}' does not answer: {}", address,
         reply.end.error.empty() ? fmt::format("status {}", reply.end.status) : reply.end.error);
  }
  return reply.body;
}

/// For controllers that say nothing: whether the worker's models are known there.
void check_models(serve::OutgoingHttp& http, const RegisterOptions& options) {
  const auto status =
      serve::read_worker_status(ask(http, options, options.worker_name + "/worker_get_status", ""));
  const std::string listed = ask(http, options, options.controller_address + "/list_models", "");
  const auto known = JsonObject(parse_json(listed, "/list_models"), "/list_models")
                         .get_string_list("models")
                         .value_or(std::vector<std::string>{});
  const bool is_there = status && std::ranges::all_of(status->model_names, [&](const auto& name) {
                          return std::ranges::find(known, name) != known.end();
                        });
  if (is_there) return;
  fail(ErrorCode::kUnavailable,
       "the controller took the message but lists no model of '{}': see its log",
       options.worker_name);
}

}  // namespace

int register_worker_command(const Arguments& arguments) {
  RegisterOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  serve::OutgoingHttp http;
  OrderedJson body = {{"worker_name", options.worker_name},
                      {"check_heart_beat", options.check_heart_beat}};
  body["worker_status"] = nullptr;
  body["verbose"] = true;
  const Json answer = parse_json(ask(http, options, options.controller_address + "/register_worker",
                                     serve::compact_json(body)),
                                 "/register_worker");
  if (!answer.is_object()) {
    check_models(http, options);
  } else if (!answer.value("registered", false)) {
    fail(ErrorCode::kUnavailable, "the controller did not register '{}': {}", options.worker_name,
         answer.value("reason", "it does not say why"));
  }
  fmt::print("registered {}\n", options.worker_name);
  return 0;
}

}  // namespace llava::app
