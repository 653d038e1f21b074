// SPDX-License-Identifier: Apache-2.0
//
// The processes that train one model together, and what they tell each other.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "llava/core/error.h"

namespace llava::train {

/// Which process of a run this one is, by the variables that torchrun, DeepSpeed's launcher and
/// `llava train --num-processes` set.
struct RankPlace {
  int32_t rank = 0;
  int32_t size = 1;
  std::string master_address = "127.0.0.1";
  uint16_t master_port = 29500;  ///< rank 0 listens there
  std::chrono::seconds timeout{1800};
};

/// RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT of the environment; a single process without them.
/// Between machines GLOO_SOCKET_IFNAME names the network interface, as for the original.
///
/// Throws: Error(kInvalidArgument) for values that are no numbers or contradict each other.
RankPlace rank_place_of_environment();

/// Sums are made in the order of the ranks, so that all ranks have the same bits and a run with as
/// many of them repeats itself. All ranks call the same functions in the same order with as many
/// values; what they hold may differ. A group of one talks to nobody.
///
/// Every function throws when another rank has gone: that rank's error where it left one, else
/// Error(kUnavailable), which comes after the timeout as well.
/// Threads: one thread at a time.
/// Source: c10d's ProcessGroupGloo of LibTorch; docs/training.md, "Several processes".
class RankGroup {
 public:
  /// A group of one.
  RankGroup();
  /// Waits for the other ranks.
  explicit RankGroup(const RankPlace& place);
  ~RankGroup();
  RankGroup(RankGroup&&) noexcept;
  RankGroup& operator=(RankGroup&&) noexcept;

  int32_t rank() const { return rank_; }
  int32_t size() const { return size_; }
  bool is_first() const { return rank_ == 0; }
  bool is_alone() const { return size_ == 1; }

  /// Replaces each value by its sum over ranks.
  void sum(std::span<double> values);
  /// Whether any rank says so.
  bool any(bool is_so);
  /// Returns when all ranks have come here.
  void wait_for_all() { any(false); }
  /// The values of every rank, by rank; ranks may have different numbers of them.
  std::vector<std::vector<double>> gather(const std::vector<double>& values);
  /// The texts of every rank.
  std::vector<std::string> gather(const std::string& text);

  /// `parts` [size, n] has what this rank adds to the part of each rank; the result [n] is the sum
  /// of what all ranks add to this rank's.   Dtype: sent as it is, summed in float32.
  at::Tensor sum_parts(const at::Tensor& parts);
  /// The parts [n] of all ranks as [size, n], in their dtype.
  at::Tensor gather_parts(const at::Tensor& part);
  /// The same on rank 0; undefined on the others, which need no memory for it.
  at::Tensor gather_parts_to_first(const at::Tensor& part);

  /// Tells the others that this rank ends and why, so that they end with its message instead of
  /// waiting. To be called once, with nothing after it.
  void leave_failed(ErrorCode code, const std::string& message) noexcept;

 private:
  struct Connection;
  std::vector<uint8_t> exchange(const std::vector<uint8_t>& bytes, std::vector<int64_t>& sizes);

  int32_t rank_ = 0;
  int32_t size_ = 1;
  std::unique_ptr<Connection> connection_;
};

}  // namespace llava::train
