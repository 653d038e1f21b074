// SPDX-License-Identifier: Apache-2.0
//
// RateLimits: how much one client may ask for, in a minute and at the same time.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/core/guarded.h"
#include "llava/serve/http/http_message.h"

namespace llava::serve {

/// Flags; 0: no limit.
struct RateLimitOptions {
  int64_t rate_limit_requests = 0;
  int64_t rate_limit_tokens = 0;
  int64_t rate_limit_images = 0;
  int32_t rate_limit_concurrent = 0;

  bool has_any() const {
    return rate_limit_requests > 0 || rate_limit_tokens > 0 || rate_limit_images > 0 ||
           rate_limit_concurrent > 0;
  }

  template <class V>
  void describe(V& v) {
    v.field("rate-limit-requests", rate_limit_requests,
            "requests of one key, or of one address where keys are not in use, in a minute; 0: any",
            at_least(int64_t{0}));
    v.field(
        "rate-limit-tokens", rate_limit_tokens,
        "their tokens in a minute: prompts, pictures and the longest answer asked for, of which "
        "the unused rest is given back; 0: any",
        at_least(int64_t{0}));
    v.field("rate-limit-images", rate_limit_images, "their pictures in a minute; 0: any",
            at_least(int64_t{0}));
    v.field("rate-limit-concurrent", rate_limit_concurrent,
            "their requests at the same time; 0: any", in_range(0, 1 << 20));
  }
};

/// One bucket of tokens per client and kind: it holds a minute's worth and fills steadily.
///
/// Threads: safe.
class RateLimits {
 public:
  using Clock = std::chrono::steady_clock;
  using Now = Clock::time_point (*)();

  explicit RateLimits(const RateLimitOptions& options, Now now = Clock::now);

  /// Whether a client could send a request now, before its body is read.
  ///
  /// Throws: ApiError 429 `rate_limit_exceeded`.
  void check_request(const std::string& client);
  /// Takes one request, and a place among those at the same time for as long as what is returned
  /// lives.
  ///
  /// Throws: as `check_request`.
  std::shared_ptr<void> enter(const std::string& client);
  /// Takes what a request costs, all of it or nothing. More than a minute's worth is given to a
  /// client that has taken nothing for a minute.
  ///
  /// Throws: as `check_request`.
  void take(const std::string& client, int64_t num_tokens, int64_t num_images);
  void give_back_tokens(const std::string& client, int64_t num_tokens);

  /// x-ratelimit-limit-requests and so on, for answers to this client.
  std::vector<HttpHeader> headers(const std::string& client) const;

 private:
  struct Bucket {
    double level = 0;
    Clock::time_point filled;
  };
  struct Client {
    Bucket requests, tokens, images;
    int32_t num_running = 0;
  };
  using Clients = std::map<std::string, Client>;

  Client& find(Clients& clients, const std::string& name) const;
  void forget_idle(Clients& clients) const;
  void check_concurrent(const Client& client) const;

  RateLimitOptions options_;
  Now now_;
  std::shared_ptr<Guarded<Clients>> clients_;
};

}  // namespace llava::serve
