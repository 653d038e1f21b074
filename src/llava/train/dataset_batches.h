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
#include "llava/data/rank_batches.h"
#include "llava/data/sample_maker.h"
#include "llava/data/sample_source.h"
#include "llava/train/training_data.h"

namespace llava::train {

/// How an epoch's order is cut among the ranks.
struct RankShare {
  int32_t batch_size = 1;
  int32_t rank = 0;
  int32_t num_ranks = 1;
  /// Rounds are single micro-batches, which go to the ranks in turn: together they do what one rank
  /// alone does. Else each rank has one in each round, as published.
  bool takes_turns = false;
  bool drop_last = false;
};

/// The samples of a file in the order of a run, made ahead in threads.
class DatasetBatches final : public TrainingData {
 public:
  /// Keeps a reference to `source`. `order` may have been made for other batches than `share` has:
  /// a resumed run goes on in the order that it began with.
  DatasetBatches(data::SampleSource& source, data::OrderOptions order, const RankShare& share,
                 const data::LoaderOptions& loading);

  int64_t rounds_from(int64_t first_sample) const override;
  void skip_epoch() override { order_.next_order(); }
  void start_epoch(const EpochPlace& place) override;
  std::vector<SamplePtr> next_batch() override;

 private:
  data::BatchShare batch_share(int64_t first_sample) const;
  bool is_mine(int64_t round_of_run) const;

  data::SampleSource& source_;
  int64_t num_samples_;
  data::EpochOrder order_;
  RankShare share_;
  data::LoaderOptions loading_;
  int64_t next_round_ = 0;  // of the run
  std::unique_ptr<data::Loader> loader_;
};

/// A file's samples in its own order, batch by batch, which go to the ranks in turn: for
/// evaluation.
class SequentialBatches final : public TrainingData {
 public:
  /// Keeps references to `file` and `maker`.
  SequentialBatches(const data::ConversationFile& file, const data::SampleMaker& maker,
                    int32_t batch_size, int32_t rank, int32_t num_ranks)
      : file_(file), maker_(maker), batch_size_(batch_size), rank_(rank), num_ranks_(num_ranks) {}

  int64_t rounds_from(int64_t first_sample) const override {
    return (file_.size() - first_sample + batch_size_ - 1) / batch_size_;
  }
  void skip_epoch() override {}
  void start_epoch(const EpochPlace& place) override {
    next_ = place.first_sample + place.num_skipped * batch_size_;
  }
  std::vector<SamplePtr> next_batch() override;

 private:
  const data::ConversationFile& file_;
  const data::SampleMaker& maker_;
  int64_t batch_size_;
  int64_t rank_;
  int64_t num_ranks_;
  int64_t next_ = 0;
};

}  // namespace llava::train
