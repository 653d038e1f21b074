// SPDX-License-Identifier: Apache-2.0
#include "llava/data/picture_groups.h"

#include <unordered_map>

namespace llava::data {

std::vector<int32_t> number_keys(std::span<const uint64_t> keys) {
  std::unordered_map<uint64_t, int32_t> numbers;
  std::vector<int32_t> result;
  result.reserve(keys.size());
  for (const uint64_t key : keys) {
    result.push_back(
        key == 0 ? -1
                 : numbers.try_emplace(key, static_cast<int32_t>(numbers.size())).first->second);
  }
  return result;
}

std::vector<int64_t> order_by_picture(std::span<const int32_t> pictures, TorchRandom& random) {
  std::vector<std::vector<int64_t>> groups;
  std::unordered_map<int32_t, std::size_t> places;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    std::size_t place = groups.size();
    if (pictures[i] >= 0) place = places.try_emplace(pictures[i], place).first->second;
    if (place == groups.size()) groups.emplace_back();
    groups[place].push_back(static_cast<int64_t>(i));
  }
  std::vector<int64_t> order;
  order.reserve(pictures.size());
  for (const int64_t group : random.randperm(static_cast<int64_t>(groups.size()))) {
    const std::vector<int64_t>& samples = groups[static_cast<std::size_t>(group)];
    order.insert(order.end(), samples.begin(), samples.end());
  }
  return order;
}

}  // namespace llava::data
