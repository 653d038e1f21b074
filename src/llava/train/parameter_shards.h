// SPDX-License-Identifier: Apache-2.0
//
// Which rank steps which part of the parameters. Each keeps the moments and float32 masters of its
// own part alone, so that they take a run's memory once and not once a rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "llava/train/rank_group.h"
#include "llava/train/trained_parameter.h"

namespace llava::train {

/// Parameters in their order fill buckets of one type and about `bucket_size` elements; of each
/// bucket every rank owns an equal part, whatever parameters it cuts. With a group of one the parts
/// are the parameters themselves, and nothing is copied or sent.
///
/// Threads: one thread at a time; all ranks call the same functions in the same order.
/// Source: arXiv:1910.02054, section 5 (optimiser states partitioned); docs/training.md, "Several
/// processes".
class ParameterShards {
 public:
  /// Keeps references. With several ranks the masters of parameters that have one beside their
  /// value are given up: owned() has the parts that are left.
  ParameterShards(std::vector<TrainedParameter>& parameters, RankGroup& group,
                  int64_t bucket_size = int64_t{1} << 24);

  /// What this rank's optimiser steps: the parts of parameters that it owns, one-dimensional with
  /// several ranks. Values are views into the parameters.
  std::vector<TrainedParameter>& owned() { return owned_; }

  /// Sums of all ranks' `gradients`, one for each parameter, for what is owned: float32. With
  /// `in_value_type` they are sent in the type of the parameters' values, else in float32.
  std::vector<at::Tensor> sum(const std::vector<at::Tensor>& gradients, bool in_value_type);
  /// After a step: brings the values that each rank has stepped to the others.
  void share_values();
  /// Puts together what ranks have for their owned parts (float32), one tensor for each parameter
  /// and of its shape, on rank 0; empty on the others.
  std::vector<at::Tensor> collect(const std::vector<at::Tensor>& of_owned);
  /// The reverse: the part of a whole parameter that belongs to `owned()[i]`.
  at::Tensor part_of_whole(std::size_t i, const at::Tensor& whole) const;
  /// The position of the parameter that `owned()[i]` is of.
  std::size_t parameter_of(std::size_t i) const { return pieces_[i].parameter; }

 private:
  // Elements [begin, end) of a parameter, which lie at `offset` of their bucket.
  struct Piece {
    std::size_t parameter;
    int64_t begin;
    int64_t end;
    int64_t offset;
  };
  struct Bucket {
    std::vector<Piece> all;       // every parameter of the bucket, whole
    int64_t part_size = 0;        // of each rank
    std::size_t first_owned = 0;  // this rank's pieces are owned() from here on
    std::size_t num_owned = 0;
  };

  void make_buckets(int64_t bucket_size);
  void own_part(Bucket& bucket);
  at::Tensor pack(const Bucket& bucket, const std::vector<at::Tensor>& of_owned,
                  at::ScalarType dtype) const;

  std::vector<TrainedParameter>& parameters_;
  RankGroup& group_;
  std::vector<Bucket> buckets_;
  std::vector<Piece> pieces_;  // of owned_
  std::vector<TrainedParameter> owned_;
};

}  // namespace llava::train
