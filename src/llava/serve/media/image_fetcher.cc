// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/image_fetcher.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "llava/core/log.h"
#include "llava/core/version.h"
#include "llava/serve/client/outgoing_http.h"

namespace llava::serve {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Names that are looked up at the same time: the system's resolver blocks.
constexpr std::size_t kLookupThreads = 4;

/// "host:port:address,address" for OutgoingRequest::resolved.
std::string resolved_text(const ImageUrl& url, const ImageFetcher::Addresses& addresses) {
  std::string text = fmt::format("{}:{}:", url.host, url.port);
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    const std::string address = addresses[i].to_string();
    text += i > 0 ? "," : "";
    text += addresses[i].is_v6() ? fmt::format("[{}]", address) : address;
  }
  return text;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

/// Everything but the look-ups and the transfers happens on one thread of its own, which has ended
/// before this object does; so tasks for it may refer to this object.
class ImageFetcher::State {
 public:
  class Fetch;

  State(const ImageUrlOptions& options, const ImageFetchLimits& limits, Lookup lookup)
      : policy_(options),
        limits_(limits),
        lookup_(std::move(lookup)),
        lookups_(kLookupThreads),
        thread_([this] { context_.run(); }) {}

  void stop() {
    context_.stop();
    thread_.join();
    lookups_.join();
  }

  const ImageUrlPolicy& policy() const { return policy_; }
  void add(std::shared_ptr<Fetch> fetch);
  void post(std::function<void()> task) { boost::asio::post(context_, std::move(task)); }
  void release(std::size_t num_bytes) {
    held_bytes_ -= num_bytes;
    begin_waiting();
  }

 private:
  friend class Fetch;

  void begin_waiting();
  bool has_room_for(const std::string& host) const;

  ImageUrlPolicy policy_;
  ImageFetchLimits limits_;
  Lookup lookup_;
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      context_.get_executor()};
  OutgoingHttp http_;
  boost::asio::thread_pool lookups_;
  std::deque<std::shared_ptr<Fetch>> waiting_;
  std::vector<std::shared_ptr<Fetch>> running_;
  std::map<std::string, int32_t> running_by_host_;
  uint64_t held_bytes_ = 0;
  std::thread thread_;
};

class ImageFetcher::State::Fetch : public std::enable_shared_from_this<Fetch> {
 public:
  Fetch(State& state, std::string url, std::function<void(FetchedImage)> on_end)
      : state_(state),
        url_text_(std::move(url)),
        on_end_(std::move(on_end)),
        timer_(state.context_),
        started_(Clock::now()) {}

  /// What the policy says of the address, before it waits for its turn.
  bool check() {
    try {
      url_ = state_.policy_.check(url_text_);
      return true;
    } catch (const Error& error) {
      end_failed(error.what());
      return false;
    }
  }
  const std::string& host() const { return url_.host; }

  void begin() {
    host_in_use_ = url_.host;
    deadline_ = Clock::now() + state_.limits_.total_time;
    resolve();
  }

  /// Lets go of everything; nothing is called any more.
  void drop() {
    on_end_ = nullptr;
    if (call_) call_->cancel();
    timer_.cancel();
    leave();
  }
  bool is_over() const { return !on_end_; }

 private:
  milliseconds time_left() const {
    return std::max(milliseconds(1),
                    std::chrono::duration_cast<milliseconds>(deadline_ - Clock::now()));
  }

  void resolve() {
    if (url_.address) return on_addresses({*url_.address});
    // A proxy looks names up itself.
    if (!state_.policy_.proxy().empty()) return request({});
    const int32_t hop = num_redirects_;
    timer_.expires_after(std::min(state_.limits_.lookup_time, time_left()));
    timer_.async_wait([self = shared_from_this(), hop](const boost::system::error_code& error) {
      if (!error && hop == self->num_redirects_ && !self->is_resolved_) {
        self->is_resolved_ = true;
        self->end_failed("its name was not looked up in time");
      }
    });
    is_resolved_ = false;
    boost::asio::post(state_.lookups_, [self = shared_from_this(), host = url_.host, hop] {
      Addresses addresses = self->state_.lookup_(host);
      self->state_.post([self, hop, addresses = std::move(addresses)] {
        if (hop != self->num_redirects_ || std::exchange(self->is_resolved_, true)) return;
        self->timer_.cancel();
        self->on_addresses(addresses);
      });
    });
  }

  void on_addresses(const Addresses& addresses) {
    if (addresses.empty()) return end_failed("its name has no address");
    for (const auto& address : addresses) {
      if (!state_.policy_.allows(address)) {
        return end_failed(fmt::format("{} is not public", address.to_string()));
      }
    }
    request(addresses);
  }

  void request(const Addresses& addresses) {
    if (!on_end_) return;
    OutgoingRequest request{.url = url_.text, .body = {}};
    request.method = OutgoingRequest::Method::kGet;
    request.headers = {{"Accept", "image/*"},
                       {"Accept-Encoding", "identity"},
                       {"User-Agent", fmt::format("llava/{}", kVersion)}};
    request.connect_time = state_.limits_.connect_time;
    request.silence_time = state_.limits_.silence_time;
    request.total_time = time_left();
    if (!url_.address && !addresses.empty()) request.resolved = resolved_text(url_, addresses);
    request.proxy = state_.policy_.proxy();
    body_ = std::make_shared<std::string>();
    // The transfer's thread fills the body, and hands it over at its end.
    call_ = state_.http_.start(
        std::move(request),
        {.on_bytes =
             [self = shared_from_this(), body = body_](std::string_view bytes) {
               if (body->size() + bytes.size() <= self->state_.limits_.max_bytes) {
                 body->append(bytes);
               } else {
                 if (!self->is_too_large_.exchange(true)) self->stop_transfer();
               }
             },
         .on_end =
             [self = shared_from_this()](const OutgoingEnd& end) {
               self->state_.post([self, end] { self->on_answer(end); });
             }});
  }

  /// From the transfer's thread, which does not know the call.
  void stop_transfer() {
    state_.post([self = shared_from_this()] {
      if (self->call_) self->call_->cancel();
    });
  }

  void on_answer(const OutgoingEnd& end) {
    call_ = nullptr;
    if (!on_end_) return;
    if (is_too_large_) return end_failed("it has more bytes than a picture may have");
    if (!end.error.empty()) return end_failed(end.error);
    if (is_redirect(end.status)) return follow(end.redirect);
    if (end.status != 200) return end_failed(fmt::format("status {}", end.status));
    if (body_->empty()) return end_failed("an empty answer");
    finish({.is_ok = true, .bytes = std::move(*body_)});
  }

  void follow(const std::string& address) {
    if (num_redirects_ == state_.limits_.max_redirects) return end_failed("too many redirects");
    ++num_redirects_;
    try {
      url_ = state_.policy_.check_redirect(url_, address);
    } catch (const Error& error) {
      return end_failed(fmt::format("redirect: {}", error.what()));
    }
    resolve();
  }

  void end_failed(const std::string& reason) {
    if (!on_end_) return;
    log_warning("image_not_fetched", {{"host", url_.host}, {"reason", reason}});
    leave();
    timer_.expires_at(started_ + state_.limits_.failure_time);
    timer_.async_wait(
        [self = shared_from_this()](const boost::system::error_code&) { self->finish({}); });
  }

  void finish(FetchedImage image) {
    const auto on_end = std::exchange(on_end_, nullptr);
    leave();
    if (!on_end) return;
    image.time = Clock::now() - started_;
    if (image.is_ok) state_.held_bytes_ += image.bytes.size();
    on_end(std::move(image));
  }

  /// Gives its turn to another.
  void leave() {
    const auto host = std::exchange(host_in_use_, std::nullopt);
    if (!host) return;
    std::erase(state_.running_, shared_from_this());
    --state_.running_by_host_[*host];
    state_.post([&state = state_] { state.begin_waiting(); });
  }

  State& state_;
  std::string url_text_;
  ImageUrl url_;
  std::function<void(FetchedImage)> on_end_;
  boost::asio::steady_timer timer_;
  Clock::time_point started_;
  Clock::time_point deadline_;
  std::optional<std::string> host_in_use_;  ///< whose turn it has
  int32_t num_redirects_ = 0;
  bool is_resolved_ = false;
  std::shared_ptr<std::string> body_;
  std::atomic<bool> is_too_large_{false};
  std::shared_ptr<OutgoingCall> call_;
};

void ImageFetcher::State::add(std::shared_ptr<Fetch> fetch) {
  post([this, fetch = std::move(fetch)] {
    if (!fetch->check()) return;
    waiting_.push_back(fetch);
    begin_waiting();
  });
}

void ImageFetcher::State::begin_waiting() {
  std::deque<std::shared_ptr<Fetch>> still_waiting;
  for (const auto& fetch : std::exchange(waiting_, {})) {
    if (fetch->is_over()) continue;
    if (!has_room_for(fetch->host())) {
      still_waiting.push_back(fetch);
      continue;
    }
    running_.push_back(fetch);
    ++running_by_host_[fetch->host()];
    fetch->begin();
  }
  std::erase_if(running_by_host_, [](const auto& entry) { return entry.second == 0; });
  waiting_ = std::move(still_waiting);
}

bool ImageFetcher::State::has_room_for(const std::string& host) const {
  const auto by_host = running_by_host_.find(host);
  const int32_t num_of_host = by_host == running_by_host_.end() ? 0 : by_host->second;
  return std::cmp_less(running_.size(), limits_.max_fetches) &&
         num_of_host < limits_.max_fetches_per_host &&
         held_bytes_ + (running_.size() + 1) * limits_.max_bytes <= limits_.max_held_bytes;
}

ImageFetcher::ImageFetcher(const ImageUrlOptions& options, const ImageFetchLimits& limits,
                           Lookup lookup)
    : state_(std::make_shared<State>(options, limits, std::move(lookup))) {}

ImageFetcher::~ImageFetcher() { state_->stop(); }

const ImageUrlPolicy& ImageFetcher::policy() const { return state_->policy(); }

std::function<void()> ImageFetcher::fetch(std::string url,
                                          std::function<void(FetchedImage)> on_end) {
  const std::weak_ptr<State> weak_state = state_;
  auto with_hold = [weak_state, on_end = std::move(on_end)](FetchedImage image) {
    const std::size_t num_bytes = image.bytes.size();
    image.hold = std::shared_ptr<void>(nullptr, [weak_state, num_bytes](void*) {
      if (const auto state = weak_state.lock()) {
        state->post([&state = *state, num_bytes] { state.release(num_bytes); });
      }
    });
    on_end(std::move(image));
  };
  const auto fetch = std::make_shared<State::Fetch>(*state_, std::move(url), std::move(with_hold));
  state_->add(fetch);
  return [weak_state, weak = std::weak_ptr(fetch)] {
    const auto state = weak_state.lock();
    if (!state) return;
    if (auto under_way = weak.lock()) {
      state->post([under_way = std::move(under_way)] { under_way->drop(); });
    }
  };
}

ImageFetcher::Addresses ImageFetcher::look_up_host(const std::string& host) {
  boost::asio::io_context context;
  boost::system::error_code error;
  const auto found = boost::asio::ip::tcp::resolver(context).resolve(
      host, "", boost::asio::ip::resolver_base::address_configured, error);
  Addresses addresses;
  for (const auto& entry : found) addresses.push_back(entry.endpoint().address());
  return addresses;
}

}  // namespace llava::serve
