// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/load/load_run.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/serve/client/event_splitter.h"
#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/client/served_models.h"
#include "llava/serve/load/arrivals.h"
#include "llava/serve/load/conversation.h"

namespace llava::serve {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kLongestSilence{3600};
/// Conversations that an open loop makes before it begins.
constexpr std::size_t kMostDrawnAhead = 20'000;

std::vector<HttpHeader> headers_of(const LoadOptions& options) {
  if (options.api_key.empty()) return {};
  return {{"Authorization", "Bearer " + options.api_key}};
}

/// One conversation under way.
struct Talk {
  OrderedJson messages;
  int32_t num_turns = 0;
  double intended = 0;
};

/// One request of it: what its events say.   Threads: the client's.
class Answer {
 public:
  Answer(LoadSample sample, Clock::time_point begin, int32_t break_after)
      : begin_(begin), break_after_(break_after), sample_(std::move(sample)) {}

  /// Whether to go on.
  bool take(std::string_view bytes) {
    if (raw_.size() < kKeptBytes) raw_ += bytes.substr(0, kKeptBytes - raw_.size());
    try {
      events_.push(bytes, [this](std::string_view data) { on_event(data); });
    } catch (const Error& error) {
      error_ = error.what();
    }
    return !is_broken_off_ && error_.empty();
  }

  LoadSample finish(const OutgoingEnd& end) {
    sample_.end = now();
    sample_.status = end.status;
    sample_.is_broken_off = is_broken_off_;
    if (is_broken_off_) return std::move(sample_);
    if (error_.empty() && end.status == 0) error_ = end.error;
    if (error_.empty() && end.status != 200) error_ = code_of_body(end.status);
    if (error_.empty() && !is_done_) error_ = "the stream broke off";
    sample_.error = std::move(error_);
    if (sample_.completion_tokens == 0) sample_.completion_tokens = num_pieces_;
    return std::move(sample_);
  }
  const std::string& text() const { return text_; }

 private:
  static constexpr std::size_t kKeptBytes = 4096;

  double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  void on_event(std::string_view data) {
    if (data == "[DONE]") {
      is_done_ = true;
      return;
    }
    const Json event = Json::parse(data, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) {
      error_ = "an event that is no JSON";
      return;
    }
    if (event.contains("error")) error_ = code_of(event);
    if (const auto usage = event.find("usage"); usage != event.end() && usage->is_object()) {
      read_usage(*usage);
    }
    const Json::json_pointer content("/choices/0/delta/content");
    if (!event.contains(content) || !event[content].is_string()) return;
    const auto& piece = event[content].get_ref<const std::string&>();
    if (!piece.empty()) take_piece(piece);
  }

  void take_piece(const std::string& piece) {
    const double time = now();
    if (sample_.first_token < 0) {
      sample_.first_token = time;
    } else {
      sample_.gaps.push_back(static_cast<float>(time - last_piece_));
    }
    last_piece_ = time;
    text_ += piece;
    ++num_pieces_;
    if (break_after_ > 0 && num_pieces_ >= break_after_) is_broken_off_ = true;
  }

  void read_usage(const Json& usage) {
    const auto read = [&](const char* pointer, int64_t& target) {
      const Json::json_pointer path(pointer);
      if (usage.contains(path) && usage[path].is_number_integer()) {
        target = usage[path].get<int64_t>();
      }
    };
    read("/prompt_tokens", sample_.prompt_tokens);
    read("/completion_tokens", sample_.completion_tokens);
    read("/prompt_tokens_details/cached_tokens", sample_.cached_tokens);
  }

  static std::string code_of(const Json& body) {
    const Json& error = body["error"];
    if (error.is_object() && error.contains("code") && error["code"].is_string()) {
      return error["code"].get<std::string>();
    }
    return "error";
  }
  std::string code_of_body(int status) const {
    const Json body = Json::parse(raw_, nullptr, /*allow_exceptions=*/false);
    const bool has_code = body.is_object() && body.contains("error");
    return fmt::format("{}{}{}", status, has_code ? " " : "", has_code ? code_of(body) : "");
  }

  Clock::time_point begin_;
  int32_t break_after_;
  LoadSample sample_;
  EventSplitter events_;
  std::string raw_;
  std::string text_;
  std::string error_;
  double last_piece_ = 0;
  int32_t num_pieces_ = 0;
  bool is_done_ = false;
  bool is_broken_off_ = false;
};

/// Starts conversations when it is their time; answers come on the client's thread.
class Run {
 public:
  Run(const LoadOptions& options, const ProgressCallback& progress)
      : options_(options), progress_(progress), maker_(options), random_(options.seed + 1) {
    model_ = options.model.empty() ? first_model(http_, options.url, headers_of(options))
                                   : options.model;
  }

  LoadResult run(const std::stop_token& stop) {
    const bool is_open = options_.rate > 0 || !options_.replay.empty();
    const std::vector<double> arrivals = is_open ? make_arrivals(options_) : std::vector<double>{};
    const std::size_t total =
        is_open ? arrivals.size() : static_cast<std::size_t>(options_.requests);
    // Drawing takes time, and the processor from a server on this machine: an open loop draws
    // before it begins, as much as it may keep.
    std::vector<OrderedJson> drawn;
    for (std::size_t i = 0; is_open && i < std::min(total, kMostDrawnAhead); ++i) {
      if (stop.stop_requested()) break;
      drawn.push_back(make_messages());
    }
    begin_ = Clock::now();
    for (std::size_t i = 0; i < total && !stop.stop_requested(); ++i) {
      Talk talk{.messages = i < drawn.size() ? std::move(drawn[i]) : make_messages(),
                .num_turns = 0,
                .intended = 0};
      if (is_open) {
        talk.intended = arrivals[i];
        wait_until(arrivals[i], stop);
      } else {
        wait_for_room(stop);
        talk.intended = now();
      }
      if (!stop.stop_requested()) send(std::move(talk));
      report(total);
    }
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(100),
                              [&] { return num_running_ == 0; })) {
      if (stop.stop_requested()) break;
      lock.unlock();
      report(total);
      lock.lock();
    }
    return {.samples = std::move(samples_), .seconds = now()};
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  OrderedJson make_messages() {
    const std::lock_guard lock(mutex_);
    return maker_.begin();
  }

  void wait_until(double time, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const auto when =
        begin_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(time));
    changed_.wait_until(lock, stop, when, [] { return false; });
  }

  void wait_for_room(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [&] { return num_running_ < options_.concurrency; });
  }

  void report(std::size_t total) {
    const std::lock_guard lock(mutex_);
    if (progress_) progress_(num_ended_, total);
  }

  /// How many pieces of an answer are heard before it is broken off; 0: all.
  int32_t choose_break() {
    std::bernoulli_distribution breaks(options_.abort_ratio);
    if (!breaks(random_)) return 0;
    return std::uniform_int_distribution<int32_t>(1, std::max(1, options_.max_tokens / 2))(random_);
  }

  void send(Talk talk) {
    OrderedJson body{{"model", model_},
                     {"messages", talk.messages},
                     {"max_tokens", options_.max_tokens},
                     {"temperature", 0},
                     {"stream", true},
                     {"stream_options", {{"include_usage", true}}}};
    if (options_.ignore_eos) body["ignore_eos"] = true;
    OutgoingRequest request{.url = options_.url + "/v1/chat/completions", .body = to_text(body)};
    request.headers = headers_of(options_);
    request.silence_time = kLongestSilence;
    LoadSample sample;
    sample.intended = talk.intended;
    std::shared_ptr<Answer> answer;
    {
      const std::lock_guard lock(mutex_);
      answer = std::make_shared<Answer>(std::move(sample), begin_, choose_break());
      ++num_running_;
    }
    // The answer may break off before the call is known here.
    const auto call = std::make_shared<Slot>();
    auto started = http_.start(
        std::move(request),
        {.on_bytes =
             [answer, call](std::string_view bytes) {
               if (!answer->take(bytes)) call->cancel();
             },
         .on_end = [this, answer, talk = std::move(talk)](
                       const OutgoingEnd& end) mutable { on_end(*answer, end, std::move(talk)); }});
    call->set(std::move(started));
  }

  void on_end(Answer& answer, const OutgoingEnd& end, Talk talk) {
    const LoadSample sample = answer.finish(end);
    const bool goes_on = sample.is_ok() && ++talk.num_turns < options_.turns;
    {
      const std::lock_guard lock(mutex_);
      samples_.push_back(sample);
      if (goes_on) maker_.go_on(talk.messages, answer.text());
    }
    if (goes_on) {
      talk.intended = now();
      send(std::move(talk));
    }
    {
      const std::lock_guard lock(mutex_);
      --num_running_;
      if (!goes_on) ++num_ended_;
    }
    changed_.notify_all();
  }

  /// A call that may be wanted to end before it is there.
  class Slot {
   public:
    void set(std::shared_ptr<OutgoingCall> call) {
      const std::lock_guard lock(mutex_);
      call_ = std::move(call);
      if (is_cancelled_) call_->cancel();
    }
    void cancel() {
      const std::lock_guard lock(mutex_);
      is_cancelled_ = true;
      if (call_) call_->cancel();
    }

   private:
    std::mutex mutex_;
    std::shared_ptr<OutgoingCall> call_;
    bool is_cancelled_ = false;
  };

  const LoadOptions& options_;
  const ProgressCallback& progress_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<LoadSample> samples_;
  int32_t num_running_ = 0;
  uint64_t num_ended_ = 0;
  Clock::time_point begin_;
  std::string model_;
  ConversationMaker maker_;
  std::mt19937_64 random_;
  OutgoingHttp http_;  // last: its thread uses all of the above
};

}  // namespace

void check_load_target(const LoadOptions& options) {
  const std::size_t scheme = options.url.find("://");
  std::string host = scheme == std::string::npos ? options.url : options.url.substr(scheme + 3);
  host = host.substr(0, host.find_first_of("/?#"));
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else {
    host = host.substr(0, host.find(':'));
  }
  boost::system::error_code no_address;
  const auto address = boost::asio::ip::make_address(host, no_address);
  const bool is_here = host == "localhost" || (!no_address && address.is_loopback());
  if (is_here || options.i_own_this_host) return;
  fail(ErrorCode::kInvalidArgument,
       "--url is '{}', which is not this host: load is put on others with --i-own-this-host only",
       options.url);
}

LoadResult run_load(const LoadOptions& options, const std::stop_token& stop,
                    const ProgressCallback& progress) {
  check_load_target(options);
  return Run(options, progress).run(stop);
}

}  // namespace llava::serve
