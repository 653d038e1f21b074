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
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using StringList = std::unique_ptr<curl_slist, ListDeleter>;

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
    for (const auto& [name, value] : request_.headers) add_header(name + ": " + value);
    curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str());
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // An empty proxy is none, whatever the environment says.
    curl_easy_setopt(easy, CURLOPT_PROXY, request_.proxy.c_str());
    if (request_.method == OutgoingRequest::Method::kPost) post(easy);
    if (!request_.resolved.empty()) resolve(easy);
    if (headers_) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(request_.connect_time.count()));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     static_cast<long>(request_.silence_time.count()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request_.total_time.count()));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Call::on_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    if (callbacks_.on_head) {
      curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Call::on_header);
      curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    }
    return easy;
  }

  void end(CURLcode result) {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    OutgoingEnd end{.status = static_cast<int>(status), .error = {}};
    const char* redirect = nullptr;
    curl_easy_getinfo(easy_.get(), CURLINFO_REDIRECT_URL, &redirect);
    if (redirect != nullptr) end.redirect = redirect;
    if (result != CURLE_OK) end.error = error_.empty() ? curl_easy_strerror(result) : error_;
    curl_off_t begin_time = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_PRETRANSFER_TIME_T, &begin_time);
    const bool has_timed_out = result == CURLE_OPERATION_TIMEDOUT;
    end.could_not_connect = result == CURLE_COULDNT_CONNECT ||
                            result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_URL_MALFORMAT ||
                            (has_timed_out && begin_time == 0);
    end.has_timed_out = has_timed_out && !end.could_not_connect;
    finish(end);
  }
  void finish(const OutgoingEnd& end) {
    const OutgoingCallbacks callbacks = std::exchange(callbacks_, {});
    if (callbacks.on_end) callbacks.on_end(end);
  }

 private:
  static std::size_t on_bytes(char* bytes, std::size_t size, std::size_t count, void* self) {
    Call& call = *static_cast<Call*>(self);
    return call.attempt([&] {
      if (call.callbacks_.on_bytes) call.callbacks_.on_bytes({bytes, size * count});
    })
               ? size * count
               : 0;
  }

  /// Runs a callback of the request's; what it throws ends the request. No exception may pass
  /// through libcurl.
  template <class Function>
  bool attempt(Function function) {
    try {
      function();
      return true;
    } catch (const std::exception& error) {
      error_ = error.what();
      return false;
    }
  }

  /// Takes one line of the head: the status line, a header, or the empty one at its end.
  static std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* self) {
    Call& call = *static_cast<Call*>(self);
    return call.attempt([&] { call.take_head_line({bytes, size * count}); }) ? size * count : 0;
  }

  void take_head_line(std::string_view line) {
    // Trailers come in the same way, behind the body.
    if (has_head_) return;
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty()) {
      long status = 0;
      curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
      // "100 Continue" and its like announce the answer.
      if (status < 200) return head_.clear();
      has_head_ = true;
      return callbacks_.on_head(static_cast<int>(status), head_);
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t'))
      value.remove_prefix(1);
    head_.push_back({std::string(line.substr(0, colon)), std::string(value)});
  }

  void post(CURL* easy) {
    if (!find_header(request_.headers, "Content-Type")) {
      add_header("Content-Type: application/json");
    }
    // Bodies are sent at once: no peer of ours refuses before it has read them.
    add_header("Expect:");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request_.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request_.body.data());
  }

  void resolve(CURL* easy) {
    // No connection to what the name meant before, and this answer for no other request.
    append(resolved_, "+" + request_.resolved);
    curl_easy_setopt(easy, CURLOPT_RESOLVE, resolved_.get());
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  }

  void add_header(const std::string& line) { append(headers_, line); }

  static void append(StringList& list, const std::string& line) {
    curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
    LLAVA_CHECK(longer != nullptr);
    list.release();
    list.reset(longer);
  }

  State& state_;
  OutgoingRequest request_;
  OutgoingCallbacks callbacks_;
  std::vector<HttpHeader> head_;
  bool has_head_ = false;
  std::string error_;  ///< what a callback threw
  std::atomic<bool> is_cancelled_{false};
  std::unique_ptr<CURL, CurlDeleter> easy_;
  StringList headers_;
  StringList resolved_;
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
