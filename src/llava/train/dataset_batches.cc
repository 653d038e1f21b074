// SPDX-License-Identifier: Apache-2.0
#include "llava/train/dataset_batches.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "llava/core/check.h"

namespace llava::train {

DatasetBatches::DatasetBatches(data::SampleSource& source, data::OrderOptions order,
                               const RankShare& share, const data::LoaderOptions& loading)
    : source_(source),
      num_samples_(order.num_samples),
      order_(std::move(order)),
      share_(share),
      loading_(loading) {}

data::BatchShare DatasetBatches::batch_share(int64_t first_sample) const {
  return {.batch_size = share_.batch_size,
          .world_size = share_.takes_turns ? 1 : share_.num_ranks,
          .drop_last = share_.drop_last,
          .first_sample = first_sample};
}

bool DatasetBatches::is_mine(int64_t round_of_run) const {
  return !share_.takes_turns || round_of_run % share_.num_ranks == share_.rank;
}

int64_t DatasetBatches::rounds_from(int64_t first_sample) const {
  return data::num_rank_batches(num_samples_, batch_share(first_sample));
}

void DatasetBatches::start_epoch(const EpochPlace& place) {
  std::vector<std::vector<int64_t>> rounds = data::rank_batches(
      order_.next_order(), batch_share(place.first_sample), share_.takes_turns ? 0 : share_.rank);
  LLAVA_CHECK(place.num_skipped >= 0 && place.num_skipped <= static_cast<int64_t>(rounds.size()));
  next_round_ = place.round_of_run;
  std::vector<std::vector<int64_t>> batches;
  int64_t round = next_round_;
  for (auto batch = rounds.begin() + place.num_skipped; batch != rounds.end(); ++batch, ++round) {
    if (is_mine(round)) batches.push_back(std::move(*batch));
  }
  loader_.reset();
  loader_ = std::make_unique<data::Loader>(source_, data::stream_of(std::move(batches)), loading_);
}

std::vector<SamplePtr> DatasetBatches::next_batch() {
  std::vector<SamplePtr> samples;
  if (!is_mine(next_round_++)) return samples;
  std::optional<std::vector<data::Sample>> batch = loader_->next();
  if (!batch) return samples;
  for (data::Sample& sample : *batch) {
    samples.push_back(std::make_shared<data::Sample>(std::move(sample)));
  }
  return samples;
}

std::vector<SamplePtr> SequentialBatches::next_batch() {
  std::vector<SamplePtr> samples;
  const int64_t end = std::min(next_ + batch_size_, file_.size());
  if (next_ / batch_size_ % num_ranks_ != rank_) {
    next_ = end;
    return samples;
  }
  for (; next_ < end; ++next_) {
    samples.push_back(std::make_shared<data::Sample>(maker_.make(file_.record(next_))));
  }
  return samples;
}

}  // namespace llava::train
