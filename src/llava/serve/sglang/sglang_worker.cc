// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/sglang/sglang_worker.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "llava/core/log.h"
#include "llava/core/version.h"
#include "llava/serve/client/event_splitter.h"
#include "llava/serve/controller/worker_messages.h"
#include "llava/serve/http/streamed_answer.h"
#include "llava/serve/legacy/record_splitter.h"
#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/legacy/worker_api.h"
#include "llava/serve/sglang/generate_event.h"
#include "llava/serve/sglang/upstream_request.h"

namespace llava::serve {
namespace {

constexpr int kWorkerFailed = 1;
/// A server that is busy says nothing until a request's turn comes.
constexpr std::chrono::minutes kSilenceTime{10};
/// Of an error's body, for the log.
constexpr std::size_t kMaxErrorBytes = 4096;

std::size_t num_preparation_threads() {
  return std::clamp(std::thread::hardware_concurrency() / 2, 1u, 8u);
}

}  // namespace

/// One request on its way. Its members belong to one thread at a time: that which prepares it, then
/// the outgoing client's.
class SglangWorker::Answer : public std::enable_shared_from_this<Answer> {
 public:
  Answer(const SglangWorkerOptions& options, std::shared_ptr<HttpExchange> exchange, bool is_stream)
      : options_(options),
        exchange_(std::move(exchange)),
        is_stream_(is_stream),
        // No content type, as the original's.
        answer_(exchange_, {.status = 200, .headers = {}, .body = {}}) {}

  void start(OutgoingHttp& http, const std::string& body, Permit permit) {
    permit_ = std::move(permit);
    try {
      request_ = read_worker_request(body);
      ask(http, png_images_of(request_));
    } catch (const std::exception& error) {
      fail(error.what());
    }
  }

 private:
  void ask(OutgoingHttp& http, std::vector<std::string> images) {
    request_.images = {};
    OutgoingRequest request = options_.endpoint.request(
        "/generate",
        generate_body(request_, std::move(images), options_.model_name, options_.max_new_tokens));
    request.silence_time = kSilenceTime;
    const auto self = shared_from_this();
    const auto call = http.start(
        std::move(request),
        {.on_bytes = [self](std::string_view bytes) { self->take(bytes); },
         .on_end = [self](const OutgoingEnd& end) { self->on_end(end); },
         .on_head = [self](int status, const auto& headers) { self->take_head(status, headers); }});
    exchange_->on_close([call](CloseReason) { call->cancel(); });
  }

  void take_head(int status, const std::vector<HttpHeader>& headers) {
    is_error_ = status != 200;
    const auto type = find_header(headers, "Content-Type").value_or("");
    has_events_ = type.starts_with("text/event-stream");
  }

  void take(std::string_view bytes) {
    if (is_error_) {
      error_body_ += bytes.substr(0, kMaxErrorBytes - error_body_.size());
    } else if (has_events_) {
      events_.push(bytes, [this](std::string_view data) { take_event(data); });
    } else {
      // Early servers end their parts with NUL, like records.
      records_.push(bytes, [this](std::string_view record) { take_event(record); });
    }
  }

  void take_event(std::string_view data) {
    if (is_over_) return;
    GenerateEvent event = read_generate_event(data);
    if (event.is_last) {
      is_complete_ = true;
      return;
    }
    if (event.error) return fail(*event.error);
    ++num_events_;
    const int64_t num_tokens = event.completion_tokens > 0 ? event.completion_tokens : num_events_;
    has_unsent_ = has_unsent_ || event.text != last_.text;
    last_ = std::move(event);
    if (!has_unsent_ || num_tokens - num_sent_tokens_ < options_.stream_interval) return;
    num_sent_tokens_ = num_tokens;
    has_unsent_ = false;
    if (is_stream_) answer_.put(stream_record(record()));
  }

  void on_end(const OutgoingEnd& end) {
    permit_ = nullptr;
    if (is_over_ || exchange_->is_closed()) return;
    if (!end.error.empty()) return fail(end.error);
    if (end.status != 200) return fail(fmt::format("status {}: {}", end.status, error_body_));
    if (!has_events_ && !finish_records()) return;
    if (has_events_ && !is_complete_) return fail("the stream ends without [DONE]");
    finish();
  }

  /// Takes a last part without NUL; false when the answer has failed.
  bool finish_records() {
    try {
      if (const auto rest = records_.finish()) take_event(*rest);
    } catch (const std::exception& error) {
      fail(error.what());
    }
    if (!is_over_ && num_events_ == 0) fail("the answer is empty");
    return !is_over_;
  }

  void finish() {
    is_over_ = true;
    if (!is_stream_) {
      return exchange_->respond(make_response(200, "application/json", compact_json(record())));
    }
    OrderedJson last = record();
    if (request_.is_extended) {
      last["finish_reason"] = last_.finish_reason.empty() ? "stop" : last_.finish_reason;
      last["usage"] = {{"prompt_tokens", last_.prompt_tokens},
                       {"completion_tokens", last_.completion_tokens},
                       {"total_tokens", last_.prompt_tokens + last_.completion_tokens}};
    }
    // Clients read the answer from a record: there is always one.
    if (!answer_.has_started() || has_unsent_ || request_.is_extended) {
      answer_.put(stream_record(last));
    }
    answer_.finish();
  }

  OrderedJson record() const { return {{"text", request_.prompt + last_.text}, {"error_code", 0}}; }

  /// The reason is for the log: old clients know one text for whatever went wrong.
  void fail(const std::string& reason) {
    is_over_ = true;
    log_warning("worker_request_failed", {{"error", reason}});
    const OrderedJson error = {{"text", kServerErrorText}, {"error_code", kWorkerFailed}};
    if (!is_stream_) {
      return exchange_->respond(make_response(200, "application/json", compact_json(error)));
    }
    answer_.put(stream_record(error));
    answer_.finish();
  }

  const SglangWorkerOptions& options_;
  std::shared_ptr<HttpExchange> exchange_;
  bool is_stream_;
  StreamedAnswer answer_;
  Permit permit_;
  WorkerRequest request_;
  bool is_error_ = false;
  bool has_events_ = false;
  EventSplitter events_;
  RecordSplitter records_;
  std::string error_body_;
  GenerateEvent last_;
  int64_t num_events_ = 0;
  int64_t num_sent_tokens_ = 0;
  bool has_unsent_ = false;
  bool is_complete_ = false;  ///< [DONE] has come
  bool is_over_ = false;      ///< nothing more is written
};

SglangWorker::SglangWorker(SglangWorkerOptions options)
    : options_(std::move(options)),
      gate_(std::make_shared<ConcurrencyGate>(options_.limit_model_concurrency)),
      pool_(num_preparation_threads()),
      outgoing_(std::make_unique<OutgoingHttp>()) {}

SglangWorker::~SglangWorker() {
  pool_.stop();
  pool_.join();
  // Its answers give places back, for tasks that the pool does not run any more.
  outgoing_.reset();
}

void SglangWorker::begin(RouteCall call, bool is_stream) {
  const auto exchange = call.exchange;
  const auto body = std::make_shared<std::string>(std::move(call.request.body));
  // Set before the answer sets its own.
  const auto number = std::make_shared<std::atomic<uint64_t>>(0);
  exchange->on_close([gate = gate_, number](CloseReason) { gate->leave(*number); });
  *number = gate_->enter([this, exchange, body, is_stream](const Permit& permit) {
    boost::asio::post(pool_, [this, exchange, body, is_stream, permit] {
      if (exchange->is_closed()) return;
      std::make_shared<Answer>(options_, exchange, is_stream)->start(*outgoing_, *body, permit);
    });
  });
}

void SglangWorker::add_routes(Router& router) {
  const auto add_generate = [&](const char* path, bool is_stream) {
    router.add("POST", path, Access::kKey,
               [this, is_stream](RouteCall call) { begin(std::move(call), is_stream); });
  };
  add_generate("/worker_generate_stream", true);
  add_generate("/worker_generate", false);
  router.add("POST", "/worker_get_status", Access::kKey, [this](const RouteCall& call) {
    call.exchange->respond(
        make_response(200, "application/json", compact_json(worker_status_json(report().status))));
  });
}

WorkerReport SglangWorker::report() const {
  const int64_t num_running = gate_->num_running();
  const int64_t num_waiting = gate_->num_waiting();
  WorkerReport report;
  report.status = {.model_names = {options_.model_name},
                   .speed = 1,
                   .queue_length = static_cast<double>(num_running + num_waiting)};
  report.load.num_running = num_running;
  report.load.num_waiting = num_waiting;
  report.load.version = std::string(kVersion);
  report.is_multimodal = options_.is_multimodal;
  return report;
}

}  // namespace llava::serve
