// SPDX-License-Identifier: Apache-2.0
//
// How ranks of a model that run on several machines come together: those of the other machines
// connect to a port of the first rank, and before anything else is read each side proves that it
// knows the group's secret. What follows on the link is neither encrypted nor proven: the network
// between the machines has to be a private one, as it has for PyTorch's process groups.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/descriptor.h"
#include "llava/engine/parallel/rank_link.h"
#include "llava/model/tensor_parallel.h"

namespace llava::engine {

/// Where they meet.
struct RankMeeting {
  std::string host;  ///< name or address of the first rank's machine
  uint16_t port = 0;
  std::string secret;
  std::chrono::seconds patience{600};  ///< for the last one to come
};

/// What a rank says of itself when it joins.
struct RankHello {
  int32_t rank = 0;
  int32_t num_ranks = 0;
  std::string version;  ///< of its program
  std::string nonce;
  std::string proof;
};

/// Reads what a stranger has sent. Throws: Error(kBadFormat).
RankHello parse_rank_hello(std::string_view text);

/// The first rank's side.
///
/// Threads: one at a time.
class RankListener {
 public:
  /// Throws: Error(kUnavailable) when this machine has no such address or the port is taken.
  explicit RankListener(RankMeeting meeting);

  /// The port it listens on, also where 0 was asked for.
  uint16_t port() const;

  /// Waits for the ranks from `first_rank` to the last of `num_ranks` and returns their links, in
  /// order. Who is none of them is turned away, with a warning in the log.
  ///
  /// Throws: Error(kUnavailable) naming those that have not come within the patience.
  std::vector<RankLink> admit(int32_t first_rank, int32_t num_ranks);

 private:
  RankMeeting meeting_;
  Descriptor socket_;
};

/// Joins as `share`'s rank, as soon as the first rank listens.
///
/// Throws: Error(kUnavailable) when it does not within the patience; Error(kInvalidArgument) when
/// it refuses or cannot prove that it knows the secret.
RankLink join_ranks(const RankMeeting& meeting, const model::ModelShare& share);

}  // namespace llava::engine
