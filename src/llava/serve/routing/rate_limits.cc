// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/routing/rate_limits.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

constexpr double kSecondsOfWindow = 60;
/// Clients that are remembered before those are forgotten that have nothing to be remembered for.
constexpr std::size_t kRememberedClients = 4096;

double per_second(int64_t limit) { return static_cast<double>(limit) / kSecondsOfWindow; }

[[noreturn]] void refuse(const std::string& what, double seconds) {
  ApiError error(429, "rate_limit_exceeded", what);
  error.retry_after = static_cast<int32_t>(std::max(1.0, std::ceil(seconds)));
  throw error;
}

/// Seconds until a bucket has what is asked for.
double wait_of(double level, int64_t limit, int64_t count) {
  const double needed = static_cast<double>(std::min(count, limit));
  return level >= needed ? 0.0 : (needed - level) / per_second(limit);
}

void check(double level, int64_t limit, int64_t count, const char* kind) {
  if (limit == 0 || count == 0) return;
  const double wait = wait_of(level, limit, count);
  if (wait > 0) {
    refuse(fmt::format("the limit of {} {} a minute is reached: try again in {:.0f} s", limit, kind,
                       std::max(1.0, std::ceil(wait))),
           wait);
  }
}

void fill(double& level, int64_t limit, double seconds) {
  level = std::min(static_cast<double>(limit), level + seconds * per_second(limit));
}

}  // namespace

RateLimits::RateLimits(const RateLimitOptions& options, Now now)
    : options_(options), now_(now), clients_(std::make_shared<Guarded<Clients>>()) {}

RateLimits::Client& RateLimits::find(Clients& clients, const std::string& name) const {
  if (clients.size() > kRememberedClients && !clients.contains(name)) forget_idle(clients);
  const auto now = now_();
  const auto [entry, is_new] = clients.try_emplace(name);
  Client& client = entry->second;
  const auto refill = [&](Bucket& bucket, int64_t limit) {
    if (is_new) {
      bucket.level = static_cast<double>(limit);
    } else {
      fill(bucket.level, limit, std::chrono::duration<double>(now - bucket.filled).count());
    }
    bucket.filled = now;
  };
  refill(client.requests, options_.rate_limit_requests);
  refill(client.tokens, options_.rate_limit_tokens);
  refill(client.images, options_.rate_limit_images);
  return client;
}

void RateLimits::forget_idle(Clients& clients) const {
  const auto full_at = now_() - std::chrono::duration<double>(kSecondsOfWindow);
  std::erase_if(clients, [&](const auto& entry) {
    return entry.second.num_running == 0 && entry.second.requests.filled < full_at;
  });
}

void RateLimits::check_concurrent(const Client& client) const {
  if (options_.rate_limit_concurrent == 0 || client.num_running < options_.rate_limit_concurrent) {
    return;
  }
  refuse(fmt::format("{} requests are under way, the most at the same time", client.num_running),
         1);
}

void RateLimits::check_request(const std::string& name) {
  clients_->with([&](Clients& clients) {
    const Client& client = find(clients, name);
    check(client.requests.level, options_.rate_limit_requests, 1, "requests");
    check_concurrent(client);
  });
}

std::shared_ptr<void> RateLimits::enter(const std::string& name) {
  clients_->with([&](Clients& clients) {
    Client& client = find(clients, name);
    check(client.requests.level, options_.rate_limit_requests, 1, "requests");
    check_concurrent(client);
    client.requests.level -= 1;
    ++client.num_running;
  });
  // Answers may end after the limits do.
  return {nullptr, [clients = clients_, name](void*) {
            clients->with([&](Clients& all) { --all.at(name).num_running; });
          }};
}

void RateLimits::take(const std::string& name, int64_t num_tokens, int64_t num_images) {
  clients_->with([&](Clients& clients) {
    Client& client = find(clients, name);
    check(client.tokens.level, options_.rate_limit_tokens, num_tokens, "tokens");
    check(client.images.level, options_.rate_limit_images, num_images, "pictures");
    client.tokens.level -= static_cast<double>(num_tokens);
    client.images.level -= static_cast<double>(num_images);
  });
}

void RateLimits::give_back_tokens(const std::string& name, int64_t num_tokens) {
  clients_->with([&](Clients& clients) {
    Bucket& bucket = find(clients, name).tokens;
    bucket.level = std::min(static_cast<double>(options_.rate_limit_tokens),
                            bucket.level + static_cast<double>(num_tokens));
  });
}

std::vector<HttpHeader> RateLimits::headers(const std::string& name) const {
  std::vector<HttpHeader> headers;
  clients_->with([&](Clients& clients) {
    const Client& client = find(clients, name);
    const auto add = [&](const char* kind, const Bucket& bucket, int64_t limit) {
      if (limit == 0) return;
      const double left = std::max(0.0, std::floor(bucket.level));
      const double reset = (static_cast<double>(limit) - bucket.level) / per_second(limit);
      headers.push_back({fmt::format("x-ratelimit-limit-{}", kind), std::to_string(limit)});
      headers.push_back(
          {fmt::format("x-ratelimit-remaining-{}", kind), fmt::format("{:.0f}", left)});
      headers.push_back(
          {fmt::format("x-ratelimit-reset-{}", kind), fmt::format("{:.0f}s", std::ceil(reset))});
    };
    add("requests", client.requests, options_.rate_limit_requests);
    add("tokens", client.tokens, options_.rate_limit_tokens);
  });
  return headers;
}

}  // namespace llava::serve
