// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/vocabulary.h"

#include <algorithm>
#include <utility>

namespace llava::text::grammar {
namespace {

std::vector<TokenTrie::Entry> entries_of(const std::vector<std::string>& bytes) {
  std::vector<TokenTrie::Entry> entries;
  for (std::size_t id = 0; id < bytes.size(); ++id) {
    entries.push_back({bytes[id], static_cast<int32_t>(id)});
  }
  return entries;
}

}  // namespace

TokenTrie::TokenTrie(std::vector<Entry> entries) {
  std::erase_if(entries, [](const Entry& entry) {
    return entry.bytes.empty() || entry.bytes.size() > UINT16_MAX;
  });
  // std::string compares bytes as unsigned.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.bytes, a.id) < std::tie(b.bytes, b.id);
  });
  nodes_.clear();
  std::vector<std::size_t> path;  // nodes of the last entry's bytes
  const auto cut = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
    }
  };
  std::string_view last;
  for (const Entry& entry : entries) {
    const std::size_t common = static_cast<std::size_t>(
        std::mismatch(last.begin(), last.end(), entry.bytes.begin(), entry.bytes.end()).first -
        last.begin());
    cut(common);
    for (std::size_t depth = common; depth < entry.bytes.size(); ++depth) {
      path.push_back(nodes_.size());
      nodes_.push_back({.end = 0,
                        .first_token = static_cast<uint32_t>(tokens_.size()),
                        .depth = static_cast<uint16_t>(depth + 1),
                        .byte = static_cast<uint8_t>(entry.bytes[depth])});
    }
    tokens_.push_back(entry.id);
    last = entry.bytes;
    depth_ = std::max(depth_, entry.bytes.size());
  }
  cut(0);
  nodes_.push_back({.end = 0, .first_token = static_cast<uint32_t>(tokens_.size())});
}

Vocabulary::Vocabulary(const Tokenizer& tokenizer, std::vector<int32_t> end_ids, int32_t num_ids)
    : end_ids_(std::move(end_ids)) {
  std::erase_if(end_ids_, [&](int32_t id) { return id < 0 || id >= num_ids; });
  const auto count = static_cast<std::size_t>(std::max(0, num_ids));
  bytes_.resize(count);
  first_bytes_.resize(count);
  for (int32_t id = 0; id < num_ids; ++id) {
    if (is_end(id)) continue;
    const auto place = static_cast<std::size_t>(id);
    bytes_[place] = tokenizer.token_bytes(id, /*is_first=*/false).value_or("");
    first_bytes_[place] = tokenizer.token_bytes(id, /*is_first=*/true).value_or("");
    if (bytes_[place].size() == 1) writable_[static_cast<uint8_t>(bytes_[place][0])] = true;
  }
  tokens_ = TokenTrie(entries_of(bytes_));
  first_differs_ = first_bytes_ != bytes_;
  if (first_differs_) {
    first_tokens_ = TokenTrie(entries_of(first_bytes_));
  } else {
    first_bytes_ = {};
  }
}

std::string_view Vocabulary::bytes(int32_t id, bool is_first) const {
  if (id < 0 || id >= num_ids()) return {};
  return (is_first && first_differs_ ? first_bytes_ : bytes_)[static_cast<std::size_t>(id)];
}

bool Vocabulary::is_end(int32_t id) const {
  return std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end();
}

}  // namespace llava::text::grammar
