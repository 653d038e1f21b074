// SPDX-License-Identifier: Apache-2.0
#include "llava/train/micro_result.h"

#include <algorithm>

namespace llava::train {

std::vector<MicroResult> gather_results(RankGroup& group, const std::vector<MicroResult>& own) {
  std::vector<double> mine;
  for (const MicroResult& result : own) {
    mine.insert(mine.end(), {static_cast<double>(result.round), result.mean_loss, result.num_tokens,
                             result.num_labels, result.ignored_samples, result.flos,
                             static_cast<double>(result.samples.size())});
    mine.insert(mine.end(), result.samples.begin(), result.samples.end());
  }
  std::vector<MicroResult> all;
  for (const std::vector<double>& of_rank : group.gather(mine)) {
    for (auto value = of_rank.begin(); value != of_rank.end();) {
      MicroResult& result = all.emplace_back();
      result.round = static_cast<int64_t>(*value++);
      result.mean_loss = *value++;
      result.num_tokens = *value++;
      result.num_labels = *value++;
      result.ignored_samples = *value++;
      result.flos = *value++;
      for (auto count = static_cast<int64_t>(*value++); count > 0; --count) {
        result.samples.push_back(static_cast<int64_t>(*value++));
      }
    }
  }
  std::ranges::stable_sort(all, {}, &MicroResult::round);
  return all;
}

}  // namespace llava::train
