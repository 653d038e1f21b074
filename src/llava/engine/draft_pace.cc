// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/draft_pace.h"

#include <algorithm>

namespace llava::engine {
namespace {

constexpr int32_t kFirstLength = 3;
constexpr int32_t kFirstPause = 4;
constexpr int32_t kLongestPause = 64;
/// Weight of the newest draft in the average gain.
constexpr double kNewest = 0.3;

}  // namespace

DraftPace::DraftPace(int32_t max_draft, double cost_per_token)
    : max_draft_(max_draft),
      cost_per_token_(cost_per_token),
      length_(std::min(kFirstLength, max_draft)),
      pause_(kFirstPause) {}

int32_t DraftPace::next_length() {
  if (pause_left_ == 0) return length_;
  --pause_left_;
  return 0;
}

void DraftPace::report(int32_t num_drafted, int32_t num_accepted) {
  if (num_drafted <= 0) return;
  length_ = num_accepted >= num_drafted ? std::max(length_, num_drafted + 2) : num_accepted + 1;
  length_ = std::clamp(length_, 1, max_draft_);
  const double gain = num_accepted - cost_per_token_ * num_drafted;
  gain_ += kNewest * (gain - gain_);
  if (gain_ >= 0) {
    if (num_accepted > 0) pause_ = kFirstPause;
    return;
  }
  pause_left_ = pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
  gain_ = 0;
}

}  // namespace llava::engine
