// SPDX-License-Identifier: Apache-2.0
//
// Chunk: what one task fetches of a content; ChunkReceiver: its bytes as they come, over as many
// answers as it takes.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "llava/hub/response_head.h"

namespace llava::hub {

/// Bytes [begin, end) of a content.
struct Chunk {
  uint64_t begin = 0;
  uint64_t end = 0;
  /// The server knows no ranges: everything comes from the file's beginning, and what is there
  /// already is skipped.
  bool is_streamed = false;
};

/// Threads: one thread at a time.
class ChunkReceiver {
 public:
  /// `size`: bytes of the whole content. `sink` gets each byte of the chunk once, in order.
  ChunkReceiver(const Chunk& chunk, uint64_t size, std::function<void(std::string_view)> sink);

  /// First byte that is still missing.
  uint64_t at() const { return at_; }
  bool is_done() const { return at_ == chunk_.end; }
  /// Whether what is missing is asked for as a range.
  bool needs_range() const { return !chunk_.is_streamed && !(at_ == 0 && is_everything()); }
  /// The server answered a request for a part with everything, which is of no use here.
  bool found_no_ranges() const { return found_no_ranges_; }

  void begin_answer() { has_begun_ = false; }
  /// False: the answer is not the one to this request.
  bool take(const ResponseHead& head, std::string_view bytes);

 private:
  bool is_everything() const { return chunk_.begin == 0 && chunk_.end == size_; }
  bool accepts(const ResponseHead& head);

  Chunk chunk_;
  uint64_t size_;
  std::function<void(std::string_view)> sink_;
  uint64_t at_;
  uint64_t num_to_skip_ = 0;
  bool has_begun_ = false;
  bool found_no_ranges_ = false;
};

}  // namespace llava::hub
