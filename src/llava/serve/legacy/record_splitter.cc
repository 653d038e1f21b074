// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/legacy/record_splitter.h"

#include <utility>

#include "llava/core/error.h"

namespace llava::serve {

void RecordSplitter::push(std::string_view bytes, OnRecord on_record) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\0');
    const std::string_view piece = bytes.substr(0, end);
    if (piece.size() > max_record_bytes_ - pending_.size()) {
      fail(ErrorCode::kBadFormat,
           "the record at byte {} of a stream has more than {} bytes: the sender does not end its "
           "records with NUL",
           num_split_bytes_, max_record_bytes_);
    }
    if (end == std::string_view::npos) {
      pending_ += piece;
      return;
    }
    bytes.remove_prefix(end + 1);
    num_split_bytes_ += pending_.size() + piece.size() + 1;
    if (pending_.empty()) {
      if (!piece.empty()) on_record(piece);
      continue;
    }
    std::string record = std::exchange(pending_, {});
    record += piece;
    on_record(record);
  }
}

std::optional<std::string> RecordSplitter::finish() {
  if (pending_.empty()) return std::nullopt;
  num_split_bytes_ += pending_.size();
  return std::exchange(pending_, {});
}

}  // namespace llava::serve
