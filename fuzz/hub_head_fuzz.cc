// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as header lines of the hub, and as the answers to requests for parts of a file:
// whatever comes, each byte of a chunk is taken once and none beyond it.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "llava/hub/chunk.h"
#include "llava/hub/response_head.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::hub;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  ResponseHead head;
  constexpr Chunk kChunk{.begin = 4, .end = 12};
  std::string taken;
  ChunkReceiver receiver(kChunk, 20, [&](std::string_view bytes) { taken += bytes; });
  receiver.begin_answer();
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.starts_with("body ")) {
      if (!receiver.take(head, line.substr(5))) receiver.begin_answer();
    } else {
      head.add_line(line);
    }
  }
  if (receiver.at() != kChunk.begin + taken.size() || receiver.at() > kChunk.end) std::abort();
  const auto& range = head.content_range;
  if (range && (range->end <= range->begin || range->size.value_or(range->end) < range->end)) {
    std::abort();
  }
  return 0;
}
