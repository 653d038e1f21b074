// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/chunk.h"

#include <algorithm>
#include <utility>

namespace llava::hub {

ChunkReceiver::ChunkReceiver(const Chunk& chunk, uint64_t size,
                             std::function<void(std::string_view)> sink)
    : chunk_(chunk), size_(size), sink_(std::move(sink)), at_(chunk.begin) {}

bool ChunkReceiver::accepts(const ResponseHead& head) {
  if (head.status == 206) {
    num_to_skip_ = 0;
    const auto& range = head.content_range;
    return range && range->begin == at_ && range->size.value_or(size_) == size_;
  }
  if (!chunk_.is_streamed && !is_everything()) {
    found_no_ranges_ = true;
    return false;
  }
  num_to_skip_ = at_;
  return head.content_length.value_or(size_) == size_;
}

bool ChunkReceiver::take(const ResponseHead& head, std::string_view bytes) {
  if (!std::exchange(has_begun_, true) && !accepts(head)) return false;
  const uint64_t num_skipped = std::min<uint64_t>(num_to_skip_, bytes.size());
  num_to_skip_ -= num_skipped;
  bytes.remove_prefix(num_skipped);
  if (bytes.size() > chunk_.end - at_) return false;
  if (!bytes.empty()) sink_(bytes);
  at_ += bytes.size();
  return true;
}

}  // namespace llava::hub
