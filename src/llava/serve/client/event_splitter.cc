// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/client/event_splitter.h"

#include <utility>

#include "llava/core/error.h"

namespace llava::serve {

void EventSplitter::push(std::string_view bytes, OnEvent on_event) {
  while (!bytes.empty()) {
    if (std::exchange(is_after_return_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    const std::string_view piece = bytes.substr(0, end);
    if (piece.size() > max_event_bytes_ - line_.size() - data_.size()) {
      fail(ErrorCode::kBadFormat,
           "an event of a stream has more than {} bytes: the sender does not end its events with "
           "an empty line",
           max_event_bytes_);
    }
    if (end == std::string_view::npos) {
      line_ += piece;
      return;
    }
    is_after_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    if (line_.empty()) {
      take_line(piece, on_event);
      continue;
    }
    std::string line = std::exchange(line_, {});
    line += piece;
    take_line(line, on_event);
  }
}

void EventSplitter::take_line(std::string_view line, OnEvent on_event) {
  constexpr std::string_view kField = "data";
  if (line.empty()) {
    if (!std::exchange(has_data_, false)) return;
    on_event(std::exchange(data_, {}));
    return;
  }
  if (!line.starts_with(kField)) return;
  line.remove_prefix(kField.size());
  if (!line.empty() && line.front() != ':') return;
  if (!line.empty()) line.remove_prefix(1);
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (std::exchange(has_data_, true)) data_ += '\n';
  data_ += line;
}

}  // namespace llava::serve
