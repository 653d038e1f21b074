// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/client/outgoing_http.h"

#include <curl/curl.h>

#include <atomic>
#include <future>
#include <thread>
#include <unordered_map>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/guarded.h"

namespace llava::serve {
namespace {

constexpr std::size_t kMaxReplyBytes = 1 << 20;
constexpr int kMaxWaitMs = 1000;

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct HeadersDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

void initialise_curl() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  LLAVA_CHECK(result == CURLE_OK);
}

}  // namespace

/// The requests, and the thread that libcurl works on.
class OutgoingHttp::State {
 public:
  class Call;

  State() {
    initialise_curl();
    multi_ = curl_multi_init();
    LLAVA_CHECK(multi_ != nullptr);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  ~State() {
    thread_.request_stop();
    curl_multi_wakeup(multi_);
    thread_.join();
    curl_multi_cleanup(multi_);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void add(std::shared_ptr<Call> call) {
    new_calls_.with([&](auto& calls) { calls.push_back(std::move(call)); });
    wake();
  }
  void wake() { curl_multi_wakeup(multi_); }

 private:
  void run(const std::stop_token& stop);
  void begin_new_calls();
  void end_cancelled_calls();
  void end_finished_calls();
  void end(CURL* easy, CURLcode result);

  CURLM* multi_ = nullptr;
  Guarded<std::vector<std::shared_ptr<Call>>> new_calls_;
  std::unordered_map<CURL*, std::shared_ptr<Call>> running_;
  std::jthread thread_;
};

class OutgoingHttp::State::Call final : public OutgoingCall {
 public:
  Call(State& state, OutgoingRequest request, OutgoingCallbacks callbacks)
      : state_(state), request_(std::move(request)), callbacks_(std::move(callbacks)) {}

  void cancel() override {
    is_cancelled_ = true;
    state_.wake();
  }
  bool is_cancelled() const { return is_cancelled_; }

  CURL* open() {
    easy_.reset(curl_easy_init());
    LLAVA_CHECK(easy_ != nullptr);
    CURL* const easy = easy_.get();
    add_header("Content-Type: application/json");
    // Bodies are sent at once: no peer of ours refuses before it has read them.
    add_header("Expect:");
    for (const auto& [name, value] : request_.headers) add_header(name + ": " + value);
    curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str());
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request_.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request_.body.data());
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT,
                     static_cast<long>(request_.connect_time.count()));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     static_cast<long>(request_.silence_time.count()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, static_cast<long>(request_.total_time.count()));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Call::on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    return easy;
  }

  void end(CURLcode result) {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    OutgoingEnd end{.status = static_cast<int>(status), .error = {}};
    if (result != CURLE_OK) end.error = curl_easy_strerror(result);
    end.could_not_connect = result == CURLE_COULDNT_CONNECT ||
                            result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_URL_MALFORMAT;
    finish(end);
  }
  void finish(const OutgoingEnd& end) {
    const OutgoingCallbacks callbacks = std::exchange(callbacks_, {});
    if (callbacks.on_end) callbacks.on_end(end);
  }

 private:
  static std::size_t on_bytes(char* bytes, std::size_t size, std::size_t count, void* self) {
    const OutgoingCallbacks& callbacks = static_cast<Call*>(self)->callbacks_;
    if (callbacks.on_bytes) callbacks.on_bytes({bytes, size * count});
    return size * count;
  }

  void add_header(const std::string& line) {
    curl_slist* const longer = curl_slist_append(headers_.get(), line.c_str());
    LLAVA_CHECK(longer != nullptr);
    headers_.release();
    headers_.reset(longer);
  }

  State& state_;
  OutgoingRequest request_;
  OutgoingCallbacks callbacks_;
  std::atomic<bool> is_cancelled_{false};
  std::unique_ptr<CURL, CurlDeleter> easy_;
  std::unique_ptr<curl_slist, HeadersDeleter> headers_;
};

void OutgoingHttp::State::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    begin_new_calls();
    int num_running = 0;
    curl_multi_perform(multi_, &num_running);
    end_finished_calls();
    end_cancelled_calls();
    curl_multi_poll(multi_, nullptr, 0, kMaxWaitMs, nullptr);
  }
  begin_new_calls();
  while (!running_.empty()) end(running_.begin()->first, CURLE_ABORTED_BY_CALLBACK);
}

void OutgoingHttp::State::begin_new_calls() {
  const auto calls = new_calls_.with([](auto& waiting) { return std::exchange(waiting, {}); });
  for (const auto& call : calls) {
    CURL* const easy = call->open();
    running_.emplace(easy, call);
    curl_multi_add_handle(multi_, easy);
  }
}

void OutgoingHttp::State::end_cancelled_calls() {
  std::vector<CURL*> cancelled;
  for (const auto& [easy, call] : running_) {
    if (call->is_cancelled()) cancelled.push_back(easy);
  }
  for (CURL* const easy : cancelled) end(easy, CURLE_ABORTED_BY_CALLBACK);
}

void OutgoingHttp::State::end_finished_calls() {
  int num_left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &num_left)) {
    if (message->msg == CURLMSG_DONE) end(message->easy_handle, message->data.result);
  }
}

void OutgoingHttp::State::end(CURL* easy, CURLcode result) {
  const auto found = running_.find(easy);
  const std::shared_ptr<Call> call = std::move(found->second);
  running_.erase(found);
  curl_multi_remove_handle(multi_, easy);
  call->end(result);
}

OutgoingHttp::OutgoingHttp() : state_(std::make_unique<State>()) {}
OutgoingHttp::~OutgoingHttp() = default;

std::shared_ptr<OutgoingCall> OutgoingHttp::start(OutgoingRequest request,
                                                  OutgoingCallbacks callbacks) {
  auto call = std::make_shared<State::Call>(*state_, std::move(request), std::move(callbacks));
  state_->add(call);
  return call;
}

std::shared_ptr<OutgoingCall> OutgoingHttp::fetch(
    OutgoingRequest request, std::function<void(const OutgoingReply&)> on_reply) {
  const auto reply = std::make_shared<OutgoingReply>();
  return start(std::move(request),
               {.on_bytes =
                    [reply](std::string_view bytes) {
                      if (reply->body.size() + bytes.size() <= kMaxReplyBytes) reply->body += bytes;
                    },
                .on_end =
                    [reply, on_reply = std::move(on_reply)](const OutgoingEnd& end) {
                      reply->end = end;
                      on_reply(*reply);
                    }});
}

OutgoingReply OutgoingHttp::fetch(OutgoingRequest request) {
  std::promise<OutgoingReply> promise;
  auto future = promise.get_future();
  fetch(std::move(request), [&promise](const OutgoingReply& reply) { promise.set_value(reply); });
  return future.get();
}

}  // namespace llava::serve
