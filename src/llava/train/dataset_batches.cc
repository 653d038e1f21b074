// SPDX-License-Identifier: Apache-2.0
#include "llava/train/dataset_batches.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "llava/core/check.h"

namespace llava::train {

DatasetBatches::DatasetBatches(data::SampleSource& source, data::OrderOptions order,
                               const data::LoaderOptions& loading)
    : source_(source), order_(std::move(order)), loading_(loading) {}

void DatasetBatches::start_epoch(int64_t num_skipped) {
  std::vector<std::vector<int64_t>> batches = order_.next_epoch(0);
  LLAVA_CHECK(num_skipped >= 0 && num_skipped <= static_cast<int64_t>(batches.size()));
  batches.erase(batches.begin(), batches.begin() + num_skipped);
  loader_.reset();
  loader_ = std::make_unique<data::Loader>(source_, data::stream_of(std::move(batches)), loading_);
}

std::vector<SamplePtr> DatasetBatches::next_batch() {
  std::vector<SamplePtr> samples;
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
  for (; next_ < end; ++next_) {
    samples.push_back(std::make_shared<data::Sample>(maker_.make(file_.record(next_))));
  }
  return samples;
}

}  // namespace llava::train
