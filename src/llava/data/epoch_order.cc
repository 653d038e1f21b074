// SPDX-License-Identifier: Apache-2.0
#include "llava/data/epoch_order.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/data/length_groups.h"
#include "llava/data/picture_groups.h"

namespace llava::data {

EpochOrder::EpochOrder(OrderOptions options)
    : options_(std::move(options)), global_(options_.seed) {
  if (options_.num_samples < 1) {
    fail(ErrorCode::kInvalidArgument, "the data have {} samples, expected at least one",
         options_.num_samples);
  }
  if (options_.batch_size < 1 || options_.world_size < 1 || options_.accumulation < 1) {
    fail(ErrorCode::kInvalidArgument,
         "per_device_train_batch_size is {}, the number of ranks {}, gradient_accumulation_steps "
         "{}: expected at least 1 of each",
         options_.batch_size, options_.world_size, options_.accumulation);
  }
  if (options_.grouping != Grouping::kNone &&
      static_cast<int64_t>(options_.lengths.size()) != options_.num_samples) {
    fail(ErrorCode::kInvalidArgument, "{} lengths of {} samples, expected one each",
         options_.lengths.size(), options_.num_samples);
  }
}

std::vector<int64_t> EpochOrder::shuffle(TorchRandom& sampler) {
  switch (options_.grouping) {
    case Grouping::kModalityLength:
      return order_by_modality(options_.lengths,
                               {.batch_size = options_.batch_size,
                                .num_chunks = options_.world_size * options_.accumulation},
                               global_, sampler);
    case Grouping::kLength:
      return order_by_length_only(options_.lengths,
                                  int64_t{options_.batch_size} * options_.accumulation, sampler);
    case Grouping::kPicture:
      return order_by_picture(options_.lengths, sampler);
    case Grouping::kNone:
      break;
  }
  if (options_.world_size == 1) {
    TorchRandom of_epoch(static_cast<uint64_t>(global_.draw_seed()));
    return of_epoch.randperm(options_.num_samples);
  }
  std::vector<int64_t> order = sampler.randperm(options_.num_samples);
  // torch's sampler draws a second one for the rest that a whole permutation does not have.
  sampler.randperm(options_.num_samples);
  return order;
}

std::vector<int64_t> EpochOrder::next_order() {
  global_.draw_seed();  // the data loader's own
  return shuffle(options_.world_size == 1 ? global_ : synchronised_);
}

}  // namespace llava::data
