// SPDX-License-Identifier: Apache-2.0
//
// OutgoingHttp: requests of ours to other processes, many at a time on one thread (libcurl).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llava/serve/http/http_message.h"

namespace llava::serve {

struct OutgoingRequest {
  enum class Method : uint8_t { kPost, kGet };

  std::string url;
  std::string body;  ///< sent by POST, as JSON
  std::vector<HttpHeader> headers = {};
  std::chrono::milliseconds connect_time{5000};
  std::chrono::seconds silence_time{5};     ///< longest wait for the next byte
  std::chrono::milliseconds total_time{0};  ///< 0: as long as bytes come
  Method method = Method::kPost;
  /// "host:port:address,address": where to connect for the host of `url`; empty: it is looked up.
  std::string resolved = {};
  std::string proxy = {};  ///< empty: none, whatever the environment says
};

/// How a request ended.
struct OutgoingEnd {
  int status = 0;     ///< of the answer; 0: there was none
  std::string error;  ///< empty: the answer is whole
  /// Nobody listens there, or the address is none.
  bool could_not_connect = false;
  std::string redirect = {};  ///< where an answer of status 3xx points, whole; it is not followed
  /// Nothing came for the time that it may take.
  bool has_timed_out = false;

  bool is_ok() const { return error.empty() && status == 200; }
};

/// A request under way.   Threads: safe.
class OutgoingCall {
 public:
  virtual ~OutgoingCall() = default;
  /// Ends it; `on_end` is still called, with an error, unless it was on its way.
  virtual void cancel() = 0;
};

/// Called on the client's thread, which must have them back at once. What `on_bytes` and `on_head`
/// throw ends the request, with their message as its error.
struct OutgoingCallbacks {
  std::function<void(std::string_view bytes)> on_bytes;
  std::function<void(const OutgoingEnd& end)> on_end;
  /// Called before the first byte of the body.
  std::function<void(int status, const std::vector<HttpHeader>& headers)> on_head = {};
};

/// A whole answer.
struct OutgoingReply {
  OutgoingEnd end;
  std::string body;
};

/// Threads: safe.
class OutgoingHttp {
 public:
  OutgoingHttp();
  /// Ends what is under way, with an error.
  ~OutgoingHttp();
  OutgoingHttp(const OutgoingHttp&) = delete;
  OutgoingHttp& operator=(const OutgoingHttp&) = delete;

  /// Sends. The callbacks are let go of after `on_end`.
  std::shared_ptr<OutgoingCall> start(OutgoingRequest request, OutgoingCallbacks callbacks);

  /// Sends and calls back with the whole answer, of at most a megabyte.
  std::shared_ptr<OutgoingCall> fetch(OutgoingRequest request,
                                      std::function<void(const OutgoingReply&)> on_reply);

  /// Sends and waits for the whole answer. Not from a callback.
  OutgoingReply fetch(OutgoingRequest request);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace llava::serve
