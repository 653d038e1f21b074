// SPDX-License-Identifier: Apache-2.0
#include "llava/text/byte_trie.h"

#include "llava/core/check.h"

namespace llava::text {

void ByteTrie::insert(std::string_view key, int32_t value) {
  LLAVA_CHECK(!key.empty() && value >= 0);
  uint32_t node = kRoot;
  for (const char byte : key) {
    uint32_t next = child(node, byte);
    if (next == kNone) {
      next = static_cast<uint32_t>(values_.size());
      values_.push_back(-1);
      edges_.insert_or_assign(node, static_cast<uint8_t>(byte), next);
    }
    node = next;
  }
  if (values_[node] < 0) values_[node] = value;
}

std::optional<ByteTrie::Match> ByteTrie::longest_match(std::string_view text,
                                                       std::size_t at) const noexcept {
  std::optional<Match> best;
  uint32_t node = kRoot;
  for (std::size_t i = at; i < text.size(); ++i) {
    node = child(node, text[i]);
    if (node == kNone) break;
    if (values_[node] >= 0) best = Match{i + 1 - at, values_[node]};
  }
  return best;
}

}  // namespace llava::text
