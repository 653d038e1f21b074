// SPDX-License-Identifier: Apache-2.0
//
// Random orders in which samples of similar length are neighbours, so that little of a batch is
// padding: the published samplers, draw for draw.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/data/torch_random.h"

namespace llava::data {

/// How samples are cut into groups.
struct GroupShape {
  int32_t batch_size = 1;  ///< samples of one micro-batch
  int32_t num_chunks = 1;  ///< micro-batches of one optimizer step, of all ranks together
};

/// Shuffles, cuts into groups of batch_size * num_chunks, sorts each group by falling length and
/// splits it into chunks of about equal sums.
///
/// Units: lengths in words, of any sign; what is sorted is the signed number.   Throws:
/// Error(kUnsupported) as TorchRandom::randperm.   Threads: safe.
/// Source: LLaVA 1.2.2 `llava/train/llava_trainer.py`, get_length_grouped_indices.
std::vector<int64_t> order_by_length(std::span<const int32_t> lengths, const GroupShape& shape,
                                     TorchRandom& random);

/// The same for each modality by itself, then the groups of both shuffled; the last group of each
/// modality is kept for the end, both merged in the order of the file.
///
/// `global` shuffles within a modality, `groups` the groups; they may be one generator. Samples of
/// one modality alone are ordered by order_by_length with `groups`, their lengths signed as given.
/// Units: lengths in words, positive with a picture and negative without, never 0.
/// Throws: Error(kInvalidArgument) naming the sample for a length of 0.   Threads: safe.
/// Source: LLaVA 1.2.2, get_modality_length_grouped_indices.
std::vector<int64_t> order_by_modality(std::span<const int32_t> lengths, const GroupShape& shape,
                                       TorchRandom& global, TorchRandom& groups);

/// Shuffles, cuts into large groups (50 batches, or what makes about four of them), sorts each by
/// falling length, and puts the longest sample of all first.
///
/// Throws: Error(kUnsupported) as TorchRandom::randperm.   Threads: safe.
/// Source: transformers 4.37 `trainer_pt_utils.py`, get_length_grouped_indices.
std::vector<int64_t> order_by_length_only(std::span<const int32_t> lengths, int64_t batch_size,
                                          TorchRandom& random);

}  // namespace llava::data
