// SPDX-License-Identifier: Apache-2.0
//
// A training file as the stream of micro-batches that the trainer asks for.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "llava/data/conversation_file.h"
#include "llava/data/epoch_order.h"
#include "llava/data/loader.h"
#include "llava/data/sample_maker.h"
#include "llava/data/sample_source.h"
#include "llava/train/training_data.h"

namespace llava::train {

/// The samples of a file in the order of a run, made ahead in threads.
class DatasetBatches final : public TrainingData {
 public:
  /// Keeps a reference to `source`.
  DatasetBatches(data::SampleSource& source, data::OrderOptions order,
                 const data::LoaderOptions& loading);

  int64_t batches_per_epoch() const override { return order_.batches_per_rank(); }
  void start_epoch(int64_t num_skipped) override;
  std::vector<SamplePtr> next_batch() override;

 private:
  data::SampleSource& source_;
  data::EpochOrder order_;
  data::LoaderOptions loading_;
  std::unique_ptr<data::Loader> loader_;
};

/// A file's samples in its own order, batch by batch, for evaluation.
class SequentialBatches final : public TrainingData {
 public:
  /// Keeps references to `file` and `maker`.
  SequentialBatches(const data::ConversationFile& file, const data::SampleMaker& maker,
                    int32_t batch_size)
      : file_(file), maker_(maker), batch_size_(batch_size) {}

  int64_t batches_per_epoch() const override {
    return (file_.size() + batch_size_ - 1) / batch_size_;
  }
  void start_epoch(int64_t num_skipped) override { next_ = num_skipped * batch_size_; }
  std::vector<SamplePtr> next_batch() override;

 private:
  const data::ConversationFile& file_;
  const data::SampleMaker& maker_;
  int64_t batch_size_;
  int64_t next_ = 0;
};

}  // namespace llava::train
