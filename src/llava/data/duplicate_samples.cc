// SPDX-License-Identifier: Apache-2.0
#include "llava/data/duplicate_samples.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace llava::data {
namespace {

// FNV-1a of a text and its end.
uint64_t mix(uint64_t hash, std::string_view text) {
  constexpr uint64_t kPrime = 1099511628211U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  return (hash ^ 0xFF) * kPrime;
}

bool is_same_turn(const Turn& a, const Turn& b) { return a.from == b.from && a.value == b.value; }

bool is_same(const Record& a, const Record& b) {
  return a.images == b.images &&
         std::equal(a.conversations.begin(), a.conversations.end(), b.conversations.begin(),
                    b.conversations.end(), is_same_turn);
}

// Samples of one hash: almost always the same one.
void compare(const ConversationFile& file, std::span<const int64_t> samples,
             std::vector<Duplicate>& found) {
  const Record first = file.record(samples.front());
  for (const int64_t index : samples.subspan(1)) {
    if (is_same(first, file.record(index))) found.push_back({index, first.index});
  }
}

}  // namespace

uint64_t content_hash(const Record& record) {
  uint64_t hash = 14695981039346656037U;
  for (const std::string& image : record.images) hash = mix(hash, image);
  hash = mix(hash, "");
  for (const Turn& turn : record.conversations) hash = mix(mix(hash, turn.from), turn.value);
  return hash == 0 ? 1 : hash;
}

std::vector<Duplicate> find_duplicates(const ConversationFile& file,
                                       std::span<const uint64_t> hashes) {
  std::vector<int64_t> order;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if (hashes[i] != 0) order.push_back(static_cast<int64_t>(i));
  }
  const auto hash = [&](int64_t i) { return hashes[static_cast<std::size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return hash(a) < hash(b); });
  std::vector<Duplicate> found;
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first + 1;
    while (last < order.size() && hash(order[last]) == hash(order[first])) ++last;
    if (last > first + 1) compare(file, std::span(order).subspan(first, last - first), found);
    first = last;
  }
  return found;
}

}  // namespace llava::data
