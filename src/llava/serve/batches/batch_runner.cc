// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/batches/batch_runner.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <ctime>
#include <deque>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/routing/local_exchange.h"

namespace llava::serve {
namespace {

/// Requests of one batch that are answered together.
constexpr std::size_t kConcurrent = 8;
constexpr std::size_t kRememberedBatches = 1000;

bool is_over(BatchStatus status) {
  return status != BatchStatus::kInProgress && status != BatchStatus::kCancelling;
}

std::chrono::seconds retry_after(const HttpResponse& response) {
  const std::string_view text = find_header(response.headers, "Retry-After").value_or("1");
  int seconds = 1;
  std::from_chars(text.data(), text.data() + text.size(), seconds);
  return std::chrono::seconds(std::clamp(seconds, 1, 60));
}

/// One line of the answers.
std::string answer_line(const BatchLine& line, const std::string& request_id,
                        const HttpResponse& response) {
  OrderedJson body;
  try {
    body = parse_ordered_json(response.body, "answer");
  } catch (const Error&) {
    body = response.body;
  }
  const OrderedJson json = {
      {"id", "batch_req_" + request_id},
      {"custom_id", line.custom_id},
      {"response",
       {{"status_code", response.status}, {"request_id", request_id}, {"body", std::move(body)}}},
      {"error", nullptr}};
  return to_text(json) + "\n";
}

}  // namespace

/// A batch under way.   Threads: the executor's.
class BatchRunner::Run : public std::enable_shared_from_this<Run> {
 public:
  Run(BatchRunner& runner, Batch batch, RouteCall origin, std::vector<BatchLine> lines)
      : runner_(runner),
        batch_(std::move(batch)),
        origin_(std::move(origin)),
        waiting_(std::make_move_iterator(lines.begin()), std::make_move_iterator(lines.end())),
        timer_(runner.executor_) {}

  void fill() {
    while (!is_cancelled_ && running_.size() < kConcurrent && !waiting_.empty()) start_next();
    if (running_.empty() && (is_cancelled_ || waiting_.empty())) finish();
  }

  void cancel() {
    is_cancelled_ = true;
    timer_.cancel();
    for (const auto& [id, weak] : running_) {
      if (const auto exchange = weak.lock()) exchange->close();
    }
    fill();
  }

 private:
  void start_next() {
    BatchLine line = std::move(waiting_.front());
    waiting_.pop_front();
    const std::string request_id = make_request_id();
    HttpRequest request;
    request.method = "POST";
    request.target = request.path = batch_.endpoint;
    request.headers = {{"Content-Type", "application/json"}, {"X-Request-Id", request_id}};
    request.body = line.body;
    const auto exchange = std::make_shared<LocalExchange>(
        runner_.executor_.get_executor(),
        [self = shared_from_this(), request_id, line = std::move(line)](HttpResponse response) {
          self->on_answer(request_id, line, response);
        });
    running_.emplace(request_id, exchange);
    runner_.router_.handle_for(origin_, std::move(request), exchange);
  }

  void on_answer(const std::string& request_id, const BatchLine& line,
                 const HttpResponse& response) {
    running_.erase(request_id);
    // What has been ended is no answer.
    if (is_cancelled_) return fill();
    if (response.status == 429 || response.status == 503) {
      waiting_.push_front(line);
      return wait(retry_after(response));
    }
    const bool is_ok = response.status < 400;
    (is_ok ? answers_ : failures_) += answer_line(line, request_id, response);
    ++(is_ok ? batch_.num_answered : batch_.num_failed);
    publish();
    fill();
  }

  /// The server has no room: everybody else goes first.
  void wait(std::chrono::seconds time) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->fill();
    });
  }

  void finish() {
    if (batch_.ended != 0) return;
    batch_.ended = std::time(nullptr);
    batch_.status = is_cancelled_ ? BatchStatus::kCancelled : BatchStatus::kCompleted;
    try {
      batch_.output_file = store(std::move(answers_), "output");
      batch_.error_file = store(std::move(failures_), "errors");
    } catch (const ApiError& error) {
      batch_.status = BatchStatus::kFailed;
      batch_.errors.push_back({.message = error.what()});
    }
    publish();
    runner_.runs_.erase(batch_.id);
  }

  std::string store(std::string text, const char* kind) {
    if (text.empty()) return {};
    return runner_.files_
        .add(batch_.owner, fmt::format("{}_{}.jsonl", batch_.id, kind), "batch_output",
             std::move(text))
        .id;
  }

  void publish() {
    runner_.update(batch_.id, [&](Batch& seen) {
      const int64_t cancelled = seen.cancelled;
      const BatchStatus status = seen.status;
      seen = batch_;
      seen.cancelled = cancelled;
      if (batch_.ended == 0) seen.status = status;
    });
  }

  BatchRunner& runner_;
  Batch batch_;
  RouteCall origin_;
  std::deque<BatchLine> waiting_;
  /// Whoever answers holds the exchange, so that it notices when nobody does.
  std::map<std::string, std::weak_ptr<LocalExchange>> running_;
  boost::asio::steady_timer timer_;
  std::string answers_;
  std::string failures_;
  bool is_cancelled_ = false;
};

BatchRunner::BatchRunner(Router& router, FileStore& files) : router_(router), files_(files) {}

BatchRunner::~BatchRunner() { stop(); }

void BatchRunner::stop() {
  boost::asio::post(executor_, [this] {
    // Each ends its requests; runs that end leave the map.
    for (const auto& [id, run] : std::map(runs_)) run->cancel();
  });
  executor_.wait();
}

template <class Function>
void BatchRunner::update(const std::string& id, Function function) {
  batches_.with([&](auto& batches) {
    const auto found = batches.find(id);
    if (found != batches.end()) function(found->second);
  });
}

Batch BatchRunner::create(const RouteCall& call, const StoredFile& input, std::string endpoint,
                          OrderedJson metadata) {
  BatchInput read = read_batch_input(*input.bytes, endpoint);
  Batch batch;
  batch.id = "batch_" + make_request_id();
  batch.owner = call.owner;
  batch.endpoint = std::move(endpoint);
  batch.input_file = input.id;
  batch.metadata = std::move(metadata);
  batch.created = std::time(nullptr);
  batch.num_lines = static_cast<int64_t>(read.lines.size());
  if (!read.errors.empty()) {
    batch.status = BatchStatus::kFailed;
    batch.errors = std::move(read.errors);
    batch.ended = batch.created;
  }
  forget_oldest();
  batches_.with([&](auto& batches) { batches.emplace(batch.id, batch); });
  if (batch.status == BatchStatus::kFailed) return batch;
  RouteCall origin;
  origin.client = call.client;
  origin.owner = call.owner;
  const auto run = std::make_shared<Run>(*this, batch, std::move(origin), std::move(read.lines));
  boost::asio::post(executor_, [this, run, id = batch.id] {
    runs_.emplace(id, run);
    run->fill();
  });
  return batch;
}

void BatchRunner::forget_oldest() {
  batches_.with([](auto& batches) {
    if (batches.size() < kRememberedBatches) return;
    auto oldest = batches.end();
    for (auto it = batches.begin(); it != batches.end(); ++it) {
      if (!is_over(it->second.status)) continue;
      if (oldest == batches.end() || it->second.created < oldest->second.created) oldest = it;
    }
    if (oldest == batches.end()) {
      throw ApiError(429, "rate_limit_exceeded",
                     fmt::format("{} batches are under way: wait for one", batches.size()));
    }
    batches.erase(oldest);
  });
}

std::optional<Batch> BatchRunner::find(const std::string& owner, const std::string& id) const {
  return batches_.with([&](const auto& batches) -> std::optional<Batch> {
    const auto found = batches.find(id);
    if (found == batches.end() || found->second.owner != owner) return std::nullopt;
    return found->second;
  });
}

std::vector<Batch> BatchRunner::list(const std::string& owner) const {
  std::vector<Batch> own;
  batches_.with([&](const auto& batches) {
    for (const auto& [id, batch] : batches) {
      if (batch.owner == owner) own.push_back(batch);
    }
  });
  std::ranges::stable_sort(own, std::greater{}, &Batch::created);
  return own;
}

std::optional<Batch> BatchRunner::cancel(const std::string& owner, const std::string& id) {
  if (!find(owner, id)) return std::nullopt;
  update(id, [](Batch& batch) {
    if (batch.status != BatchStatus::kInProgress) return;
    batch.status = BatchStatus::kCancelling;
    batch.cancelled = std::time(nullptr);
  });
  boost::asio::post(executor_, [this, id] {
    const auto run = runs_.find(id);
    if (run != runs_.end()) std::shared_ptr(run->second)->cancel();
  });
  return find(owner, id);
}

bool BatchRunner::is_idle() const {
  return batches_.with([](const auto& batches) {
    return std::ranges::all_of(batches,
                               [](const auto& entry) { return is_over(entry.second.status); });
  });
}

}  // namespace llava::serve
