// SPDX-License-Identifier: Apache-2.0
#include "llava/data/length_groups.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <limits>
#include <utility>

#include "llava/core/error.h"

namespace llava::data {
namespace {

using Indices = std::vector<int64_t>;

int32_t length_of(std::span<const int32_t> lengths, int64_t index) {
  return lengths[static_cast<std::size_t>(index)];
}

// Consecutive parts of `size` elements; the last may be shorter.
std::vector<std::span<int64_t>> cut(Indices& order, int64_t size) {
  std::vector<std::span<int64_t>> parts;
  std::span<int64_t> rest(order);
  while (!rest.empty()) {
    const std::size_t count = std::min<std::size_t>(rest.size(), static_cast<std::size_t>(size));
    parts.push_back(rest.first(count));
    rest = rest.subspan(count);
  }
  return parts;
}

// Stable, as Python's sort is: the shuffle decides between equal lengths.
void sort_falling(std::span<int64_t> group, std::span<const int32_t> lengths) {
  std::stable_sort(group.begin(), group.end(), [&](int64_t a, int64_t b) {
    return length_of(lengths, a) > length_of(lengths, b);
  });
}

std::vector<Indices> deal_in_turn(std::span<const int64_t> group, std::size_t num_chunks) {
  std::vector<Indices> chunks(num_chunks);
  for (std::size_t i = 0; i < group.size(); ++i) chunks[i % num_chunks].push_back(group[i]);
  return chunks;
}

// Each goes to the chunk that has the least so far, the first of several; a full one takes no more.
std::vector<Indices> balance(std::span<const int64_t> group, std::size_t num_chunks,
                             std::span<const int32_t> lengths) {
  const std::size_t chunk_size = group.size() / num_chunks;
  std::vector<Indices> chunks(num_chunks);
  std::vector<int64_t> sums(num_chunks, 0);
  for (const int64_t index : group) {
    const auto least = static_cast<std::size_t>(
        std::distance(sums.begin(), std::min_element(sums.begin(), sums.end())));
    chunks[least].push_back(index);
    sums[least] += length_of(lengths, index);
    if (chunks[least].size() == chunk_size) sums[least] = std::numeric_limits<int64_t>::max();
  }
  return chunks;
}

void append(Indices& order, std::span<const int64_t> more) {
  order.insert(order.end(), more.begin(), more.end());
}

int64_t group_size(const GroupShape& shape) { return int64_t{shape.batch_size} * shape.num_chunks; }

}  // namespace

std::vector<int64_t> order_by_length(std::span<const int32_t> lengths, const GroupShape& shape,
                                     TorchRandom& random) {
  Indices shuffled = random.randperm(static_cast<int64_t>(lengths.size()));
  const auto num_chunks = static_cast<std::size_t>(shape.num_chunks);
  Indices order;
  order.reserve(shuffled.size());
  for (const std::span<int64_t> group : cut(shuffled, group_size(shape))) {
    sort_falling(group, lengths);
    const bool is_even = group.size() % num_chunks == 0;
    for (const Indices& chunk :
         is_even ? balance(group, num_chunks, lengths) : deal_in_turn(group, num_chunks)) {
      append(order, chunk);
    }
  }
  return order;
}

std::vector<int64_t> order_by_modality(std::span<const int32_t> lengths, const GroupShape& shape,
                                       TorchRandom& global, TorchRandom& groups) {
  std::array<Indices, 2> members;  // with pictures, without
  std::array<std::vector<int32_t>, 2> member_lengths;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] == 0) {
      fail(ErrorCode::kInvalidArgument,
           "sample {} has a length of 0, expected its number of words or more", i);
    }
    const std::size_t modality = lengths[i] > 0 ? 0 : 1;
    members[modality].push_back(static_cast<int64_t>(i));
    member_lengths[modality].push_back(std::abs(lengths[i]));
  }
  if (members[0].empty() || members[1].empty()) return order_by_length(lengths, shape, groups);

  std::vector<std::span<int64_t>> whole;
  Indices last;
  for (std::size_t modality = 0; modality < members.size(); ++modality) {
    Indices shuffled = order_by_length(member_lengths[modality], shape, global);
    for (int64_t& index : shuffled) index = members[modality][static_cast<std::size_t>(index)];
    members[modality] = std::move(shuffled);
    std::vector<std::span<int64_t>> parts = cut(members[modality], group_size(shape));
    append(last, parts.back());
    parts.pop_back();
    whole.insert(whole.end(), parts.begin(), parts.end());
  }
  std::sort(last.begin(), last.end());

  Indices order;
  order.reserve(lengths.size());
  for (const int64_t group : groups.randperm(static_cast<int64_t>(whole.size()))) {
    append(order, whole[static_cast<std::size_t>(group)]);
  }
  append(order, last);
  return order;
}

std::vector<int64_t> order_by_length_only(std::span<const int32_t> lengths, int64_t batch_size,
                                          TorchRandom& random) {
  constexpr int64_t kMostBatches = 50;
  constexpr int64_t kWantedGroups = 4;
  const auto count = static_cast<int64_t>(lengths.size());
  const int64_t num_batches =
      std::clamp<int64_t>(count / (batch_size * kWantedGroups), 1, kMostBatches);
  Indices order = random.randperm(count);
  int64_t* longest = nullptr;
  for (const std::span<int64_t> group : cut(order, num_batches * batch_size)) {
    sort_falling(group, lengths);
    if (longest == nullptr || length_of(lengths, group[0]) > length_of(lengths, *longest)) {
      longest = group.data();
    }
  }
  if (longest != nullptr) std::swap(order.front(), *longest);
  return order;
}

}  // namespace llava::data
