// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/patience.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "llava/core/error.h"
#include "llava/core/log.h"

namespace llava::hub {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxFailures = 5;
constexpr milliseconds kFirstPause{500};
constexpr milliseconds kLongestPause{8000};
constexpr std::chrono::seconds kLongestObeyed{300};

// False: stopped.
bool pause(const std::stop_token& stop, milliseconds time) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace

bool is_worth_another_try(const HubAnswer& answer) {
  if (!answer.error.empty()) return !answer.is_hopeless;
  const int status = answer.head.status;
  return status == 429 || status == 408 || status / 100 == 5;
}

std::string failure_text(const HubAnswer& answer) {
  if (!answer.error.empty()) return answer.error;
  std::string text = fmt::format("status {}", answer.head.status);
  if (!answer.head.error_message.empty()) text += ": " + answer.head.error_message;
  return text;
}

void Patience::wait(const HubAnswer& answer, const std::string& what) {
  if (stop_.stop_requested()) fail(ErrorCode::kCancelled, "stopped while fetching {}", what);
  ++num_failures_;
  if (!is_worth_another_try(answer) || num_failures_ >= kMaxFailures) {
    fail(ErrorCode::kUnavailable,
         "cannot fetch {} from '{}': {} (try {}): check the network, or name a mirror with "
         "HF_ENDPOINT; what has come is kept, and the next 'llava pull' goes on from there",
         what, answer.url, failure_text(answer), num_failures_);
  }
  milliseconds time = std::min(kFirstPause * (1 << (num_failures_ - 1)), kLongestPause);
  if (const auto asked = answer.head.retry_after; asked && answer.error.empty()) {
    if (*asked > kLongestObeyed) {
      fail(ErrorCode::kUnavailable,
           "cannot fetch {}: the hub is busy ({}) and asks for {} s of patience: try again then",
           what, failure_text(answer), asked->count());
    }
    time = std::max(time, milliseconds(*asked));
  }
  log_info("hub_retry", {{"what", what},
                         {"reason", failure_text(answer)},
                         {"pause_ms", time.count()},
                         {"failures", num_failures_}});
  if (!pause(stop_, time)) fail(ErrorCode::kCancelled, "stopped while fetching {}", what);
}

}  // namespace llava::hub
