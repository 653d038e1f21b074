// SPDX-License-Identifier: Apache-2.0
//
// EpochOrder: which samples a training run sees when, epoch after epoch, as the published trainer
// orders them. It is a function of its options alone, so that a run is resumed by asking for the
// epochs before again.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/data/torch_random.h"

namespace llava::data {

/// What stands beside what in a batch.
enum class Grouping : uint8_t {
  kNone,            ///< a plain shuffle
  kModalityLength,  ///< --group_by_modality_length
  kLength,          ///< --group_by_length
  kPicture,         ///< --group_by_picture
};

/// Everything the order depends on.
struct OrderOptions {
  int64_t num_samples = 0;
  int32_t batch_size = 1;  ///< per_device_train_batch_size
  int32_t world_size = 1;
  int32_t accumulation = 1;  ///< gradient_accumulation_steps
  uint64_t seed = 42;        ///< --seed; shuffles of several ranks do not depend on it
  Grouping grouping = Grouping::kNone;
  /// For a grouping, one for each sample. kModalityLength: words, negative without a picture;
  /// kLength: words and 128 for a picture; kPicture: a number that samples of the same picture
  /// share, -1 without one (ConversationFile::lengths).
  std::vector<int32_t> lengths = {};
};

/// Threads: one thread at a time.
/// kPicture is ours: pictures are shuffled, the samples of each stay in their order.
/// Source: LLaVA 1.2.2, transformers 4.37, accelerate 0.21, torch 2.1 together;
/// tests/data/train_order/make_orders.py.
class EpochOrder {
 public:
  /// Throws: Error(kInvalidArgument) for no samples, a size below 1, and lengths that are not one
  /// for each sample.
  explicit EpochOrder(OrderOptions options);

  /// All samples in the order of the next epoch.
  std::vector<int64_t> next_order();

 private:
  std::vector<int64_t> shuffle(TorchRandom& sampler);

  OrderOptions options_;
  TorchRandom global_;
  /// With several ranks the sampler has a generator of its own, which nobody seeds.
  TorchRandom synchronised_;
};

}  // namespace llava::data
