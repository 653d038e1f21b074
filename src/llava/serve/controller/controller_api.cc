// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/controller/controller_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "llava/core/log.h"
#include "llava/serve/controller/worker_messages.h"
#include "llava/serve/controller/worker_url.h"
#include "llava/serve/http/streamed_answer.h"
#include "llava/serve/legacy/record_splitter.h"
#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/legacy/worker_api.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNoWorker = 2;
constexpr int kWorkerLost = 3;
/// Workers that a relay tries after the first, while nothing has been forwarded.
constexpr std::size_t kMaxRetries = 2;
constexpr std::chrono::seconds kStatusTime{5};
constexpr std::chrono::milliseconds kSweepPause{500};
constexpr std::size_t kPrefixCharacters = 512;

void answer_json(HttpExchange& exchange, const OrderedJson& body) {
  exchange.respond(make_response(200, "application/json", compact_json(body)));
}

std::string read_name(const RouteCall& call, const char* field) {
  const OrderedJson body = parse_body(call.request.body);
  FieldReader reader(body, "");
  auto name = reader.get_string(field);
  if (!name) throw ApiError(400, "missing_field", fmt::format("{}: is missing", field), field);
  return std::move(*name);
}

/// Errors as FastAPI's clients know them.
HttpResponse detail_response(const ApiError& error) {
  return json_response({{"detail", error.what()}}, error.status());
}

/// What makes requests alike for prefix_hash: the first picture, else how the prompt begins.
std::string prefix_key_of(const OrderedJson& request) {
  const auto images = request.find("images");
  if (images != request.end() && images->is_array() && !images->empty() &&
      images->front().is_string()) {
    const auto& image = images->front().get_ref<const std::string&>();
    return to_hex(sha256(std::as_bytes(std::span(image))));
  }
  const auto prompt = request.find("prompt");
  if (prompt == request.end() || !prompt->is_string()) return {};
  return prompt->get<std::string>().substr(0, kPrefixCharacters);
}

}  // namespace

/// One request on its way through the controller. Its members belong to one thread at a time: the
/// one that begins it, then the outgoing client's.
class Controller::Relay : public std::enable_shared_from_this<Relay> {
 public:
  Relay(Controller& controller, RouteCall call, std::string model, std::string prefix_key)
      : controller_(controller),
        body_(std::move(call.request.body)),
        model_(std::move(model)),
        prefix_key_(std::move(prefix_key)),
        exchange_(std::move(call.exchange)),
        answer_(exchange_, {.status = 200, .headers = {}, .body = {}}) {}

  void start() {
    const auto worker =
        controller_.dispatch({.model = model_, .prefix_key = prefix_key_, .tried = tried_});
    if (!worker) return end_with(tried_.empty() ? kNoWorker : kWorkerLost);
    tried_.push_back(*worker);
    splitter_ = RecordSplitter();
    OutgoingRequest request{.url = *worker + "/worker_generate_stream", .body = body_};
    if (!controller_.options_.worker_token.empty()) {
      request.headers.push_back({"Authorization", "Bearer " + controller_.options_.worker_token});
    }
    const auto self = shared_from_this();
    const auto call = controller_.outgoing_.start(
        std::move(request), {.on_bytes = [self](std::string_view bytes) { self->forward(bytes); },
                             .on_end = [self](const OutgoingEnd& end) { self->on_end(end); }});
    exchange_->on_close([call](CloseReason) { call->cancel(); });
  }

 private:
  void forward(std::string_view bytes) {
    splitter_.push(bytes,
                   [this](std::string_view record) { answer_.put(std::string(record) + '\0'); });
  }

  void on_end(const OutgoingEnd& end) {
    if (exchange_->is_closed()) return;
    if (end.is_ok()) {
      if (auto rest = splitter_.finish()) answer_.put(*rest + '\0');
      if (!answer_.has_started()) return end_with(kWorkerLost);
      return answer_.finish();
    }
    const std::string& worker = tried_.back();
    log_warning("worker_timeout",
                {{"worker", worker}, {"status", end.status}, {"error", end.error}});
    if (end.could_not_connect) {
      controller_.table_.with(
          [&](WorkerTable& table) { table.report_failure(worker, Clock::now()); });
    }
    if (!answer_.has_started() && tried_.size() <= kMaxRetries) return start();
    end_with(kWorkerLost);
  }

  void end_with(int error_code) {
    if (error_code == kNoWorker) log_warning("no_worker", {{"model", model_}});
    answer_.put(stream_record({{"text", kServerErrorText}, {"error_code", error_code}}));
    answer_.finish();
  }

  Controller& controller_;
  std::string body_;
  std::string model_;
  std::string prefix_key_;
  std::shared_ptr<HttpExchange> exchange_;
  StreamedAnswer answer_;
  std::vector<std::string> tried_;
  RecordSplitter splitter_;
};

/// Asks workers for their status, all at the same time.
class Controller::Survey : public std::enable_shared_from_this<Survey> {
 public:
  using OnEnd = std::function<void(std::vector<RefreshResult>)>;

  static void run(Controller& controller, const std::vector<RefreshTarget>& targets, OnEnd on_end) {
    if (targets.empty()) return on_end({});
    const auto survey = std::make_shared<Survey>(targets, std::move(on_end));
    for (std::size_t i = 0; i < targets.size(); ++i) {
      controller.outgoing_.fetch(
          controller.status_request(targets[i].name),
          [survey, i](const OutgoingReply& reply) { survey->take(i, reply); });
    }
  }

  Survey(const std::vector<RefreshTarget>& targets, OnEnd on_end)
      : on_end_(std::move(on_end)), num_missing_(targets.size()) {
    for (const RefreshTarget& target : targets) results_.push_back({target, std::nullopt});
  }

 private:
  void take(std::size_t index, const OutgoingReply& reply) {
    if (reply.end.is_ok()) results_[index].status = read_worker_status(reply.body);
    if (!results_[index].status) {
      log_warning("get_status_fails", {{"worker", results_[index].target.name},
                                       {"status", reply.end.status},
                                       {"error", reply.end.error}});
    }
    if (--num_missing_ == 0) on_end_(std::move(results_));
  }

  OnEnd on_end_;
  std::size_t num_missing_;
  std::vector<RefreshResult> results_;
};

Controller::Controller(const ControllerOptions& options)
    : options_(options),
      random_(Generator(std::random_device{}())),
      sweeper_([this](const std::stop_token& stop) { sweep(stop); }) {
  if (!options_.find_workers) return;
  discoverer_ = std::jthread([this](const std::stop_token& stop) { discover(stop); });
}

Controller::~Controller() = default;

OutgoingRequest Controller::status_request(const std::string& worker) const {
  OutgoingRequest request{.url = worker + "/worker_get_status", .body = {}};
  request.connect_time = kStatusTime;
  request.total_time = kStatusTime;
  if (!options_.worker_token.empty()) {
    request.headers.push_back({"Authorization", "Bearer " + options_.worker_token});
  }
  return request;
}

std::optional<std::string> Controller::dispatch(const DispatchRequest& request) {
  const auto worker = random_.with([&](Generator& random) {
    return table_.with([&](WorkerTable& table) {
      return table.dispatch(options_.dispatch_method, request, random);
    });
  });
  metrics_.count_dispatch(std::string(request.model), options_.dispatch_method, worker.has_value());
  return worker;
}

std::string Controller::metrics() {
  // Scrapes take turns by the table's lock.
  return table_.with([&](const WorkerTable& table) {
    metrics_.update(table, Clock::now());
    return metrics_text(metrics_.collect());
  });
}

/// Drops workers that are silent, and asks those that were lost whether they are back.
void Controller::sweep(const std::stop_token& stop) {
  auto next_expiry = Clock::now() + kHeartBeatExpiration;
  while (!stop.stop_requested()) {
    std::unique_lock lock(sweep_mutex_);
    sweep_wake_.wait_for(lock, stop, kSweepPause, [] { return false; });
    if (stop.stop_requested()) return;
    const auto now = Clock::now();
    if (now >= next_expiry) {
      next_expiry = now + kHeartBeatExpiration;
      for (const std::string& name :
           table_.with([&](WorkerTable& table) { return table.remove_expired(now); })) {
        log_warning("remove_stale_worker", {{"worker", name}});
      }
    }
    for (const std::string& name :
         table_.with([&](WorkerTable& table) { return table.take_due_probes(now); })) {
      outgoing_.fetch(status_request(name), [this, name](const OutgoingReply& reply) {
        if (!reply.end.is_ok()) return;
        table_.with([&](WorkerTable& table) { table.report_success(name); });
      });
    }
  }
}

/// Asks the workers that are found for their status, which counts as their heartbeat.
void Controller::discover(const std::stop_token& stop) {
  std::vector<std::string> known;
  while (!stop.stop_requested()) {
    if (auto found = options_.find_workers()) {
      for (const std::string& worker : known) {
        if (std::ranges::find(*found, worker) != found->end()) continue;
        log_info("worker_gone", {{"worker", worker}});
        table_.with([&](WorkerTable& table) { table.unregister_worker(worker); });
      }
      known = std::move(*found);
    }
    for (const std::string& worker : known) {
      outgoing_.fetch(status_request(worker), [this, worker](const OutgoingReply& reply) {
        const auto status =
            reply.end.is_ok() ? read_worker_status(reply.body) : std::optional<WorkerStatus>();
        if (status) take_discovered(worker, *status);
      });
    }
    std::unique_lock lock(sweep_mutex_);
    sweep_wake_.wait_for(lock, stop, options_.discovery_pause, [] { return false; });
  }
}

void Controller::take_discovered(const std::string& worker, const WorkerStatus& status) {
  table_.with([&](WorkerTable& table) {
    const auto entry = std::ranges::find(table.entries(), worker, &WorkerEntry::name);
    const bool is_same = entry != table.entries().end() &&
                         entry->status.model_names == status.model_names &&
                         entry->status.speed == status.speed;
    if (is_same) {
      table.receive_heart_beat({.name = worker, .queue_length = status.queue_length, .load = {}},
                               Clock::now());
      return;
    }
    // Silence drops it, as it drops those that register.
    table.register_worker({.name = worker,
                           .checks_heart_beat = true,
                           .is_multimodal = std::nullopt,
                           .status = status,
                           .load = {}},
                          Clock::now());
    log_info("worker_found", {{"worker", worker}});
  });
}

void Controller::finish_registration(WorkerRegistration registration, bool is_verbose,
                                     const std::shared_ptr<HttpExchange>& exchange) {
  std::string reason;
  try {
    const bool is_new = table_.with(
        [&](WorkerTable& table) { return table.register_worker(registration, Clock::now()); });
    log_info("register_done", {{"worker", registration.name}, {"new", is_new}});
  } catch (const Error& error) {
    reason = error.what();
    log_warning("register_failed", {{"worker", registration.name}, {"error", reason}});
  }
  // The original answers null whatever came of it.
  if (!is_verbose) return answer_json(*exchange, OrderedJson());
  OrderedJson answer = {{"registered", reason.empty()}};
  answer["reason"] = reason;
  answer_json(*exchange, answer);
}

void Controller::register_worker(const RouteCall& call) {
  RegisterMessage message = read_register_message(call.request.body);
  if (message.has_status) {
    return finish_registration(std::move(message.registration), message.is_verbose, call.exchange);
  }
  // It decides where a connection is opened, so that its form is checked first.
  parse_worker_url(message.registration.name);
  const std::string name = message.registration.name;
  outgoing_.fetch(status_request(name), [this, message = std::move(message),
                                         exchange = call.exchange](const OutgoingReply& reply) {
    const auto status =
        reply.end.is_ok() ? read_worker_status(reply.body) : std::optional<WorkerStatus>();
    if (status) {
      WorkerRegistration registration = message.registration;
      registration.status = *status;
      return finish_registration(std::move(registration), message.is_verbose, exchange);
    }
    log_warning("get_status_fails",
                {{"worker", message.registration.name}, {"error", reply.end.error}});
    if (!message.is_verbose) return answer_json(*exchange, OrderedJson());
    OrderedJson answer = {{"registered", false}};
    answer["reason"] =
        fmt::format("its status cannot be had: {}",
                    reply.end.error.empty() ? "not the answer of a worker" : reply.end.error);
    answer_json(*exchange, answer);
  });
}

void Controller::refresh(const RouteCall& call) {
  const auto targets =
      table_.with([](const WorkerTable& table) { return table.refresh_targets(); });
  Survey::run(*this, targets, [this, exchange = call.exchange](std::vector<RefreshResult> results) {
    for (const std::string& name : table_.with([&](WorkerTable& table) {
           return table.replace_after_refresh(results, Clock::now());
         })) {
      log_warning("remove_stale_worker", {{"worker", name}});
    }
    answer_json(*exchange, OrderedJson());
  });
}

void Controller::report_status(const RouteCall& call) {
  const auto targets =
      table_.with([](const WorkerTable& table) { return table.refresh_targets(); });
  Survey::run(*this, targets, [exchange = call.exchange](std::vector<RefreshResult> results) {
    std::vector<WorkerStatus> statuses;
    for (RefreshResult& result : results) {
      if (result.status) statuses.push_back(std::move(*result.status));
    }
    answer_json(*exchange, worker_status_json(aggregate_status(statuses)));
  });
}

void Controller::add_routes(Router& router) {
  const auto add = [&router](const char* method, const char* path, auto function) {
    router.add(method, path, Access::kKey, [function](const RouteCall& call) {
      try {
        function(call);
      } catch (const ApiError& error) {
        call.exchange->respond(detail_response(error));
      } catch (const Error& error) {
        call.exchange->respond(detail_response(to_api_error(error)));
      }
    });
  };
  const auto add_list = [&](const char* path, auto list) {
    add("POST", path, [this, list](const RouteCall& call) {
      const auto names = table_.with([&](const WorkerTable& table) { return (table.*list)(); });
      answer_json(*call.exchange, {{"models", names}});
    });
  };
  add("POST", "/register_worker", [this](const RouteCall& call) { register_worker(call); });
  add("POST", "/unregister_worker", [this](const RouteCall& call) {
    const std::string name = read_name(call, "worker_name");
    const bool is_removed =
        table_.with([&](WorkerTable& table) { return table.unregister_worker(name); });
    answer_json(*call.exchange, {{"removed", is_removed}});
  });
  add("POST", "/refresh_all_workers", [this](const RouteCall& call) { refresh(call); });
  add_list("/list_models", &WorkerTable::list_models);
  add_list("/list_multimodal_models", &WorkerTable::list_multimodal_models);
  add_list("/list_language_models", &WorkerTable::list_language_models);
  add("POST", "/get_worker_address", [this](const RouteCall& call) {
    const OrderedJson body = parse_body(call.request.body);
    FieldReader reader(body, "");
    const auto model = reader.get_string("model");
    if (!model) throw ApiError(400, "missing_field", "model: is missing", "model");
    // Members of ours: what requests have in common, and who has failed this one.
    const std::string prefix_key = reader.get_string("prefix_key").value_or("");
    const auto tried = reader.get_strings("tried").value_or(std::vector<std::string>{});
    const auto worker = dispatch({.model = *model, .prefix_key = prefix_key, .tried = tried});
    answer_json(*call.exchange, {{"address", worker.value_or("")}});
  });
  add("POST", "/receive_heart_beat", [this](const RouteCall& call) {
    const HeartBeat beat = read_heart_beat(call.request.body);
    const bool is_known = table_.with(
        [&](WorkerTable& table) { return table.receive_heart_beat(beat, Clock::now()); });
    if (!is_known) log_warning("unknown_heart_beat", {{"worker", beat.name}});
    answer_json(*call.exchange, {{"exist", is_known}});
  });
  add("POST", "/report_failure", [this](const RouteCall& call) {
    const std::string name = read_name(call, "worker_name");
    const bool is_known =
        table_.with([&](WorkerTable& table) { return table.report_failure(name, Clock::now()); });
    answer_json(*call.exchange, {{"exist", is_known}});
  });
  add("POST", "/worker_get_status", [this](const RouteCall& call) { report_status(call); });
  add("POST", "/worker_generate_stream", [this](const RouteCall& call) {
    const OrderedJson body = parse_body(call.request.body);
    FieldReader reader(body, "");
    auto model = reader.get_string("model");
    if (!model) throw ApiError(400, "missing_field", "model: is missing", "model");
    std::make_shared<Relay>(*this, call, std::move(*model), prefix_key_of(body))->start();
  });
  add("GET", "/test_connection",
      [](const RouteCall& call) { answer_json(*call.exchange, "success"); });
}

}  // namespace llava::serve
