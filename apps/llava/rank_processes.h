// SPDX-License-Identifier: Apache-2.0
//
// The processes that share a served model: this program again, once for each rank but the first.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "command.h"
#include "llava/engine/parallel/model_ranks.h"

namespace llava::app {

/// Exit status when a rank has ended or does not answer: what it had of the model is gone.
inline constexpr int kExitRankLost = 3;

/// Starts the other ranks and ends them with itself.
///
/// Threads: the thread that makes it has to live as long as it does.
class RankProcesses {
 public:
  /// `command` is the subcommand and its arguments, which the others run too, until they come upon
  /// following_rank().
  ///
  /// Throws: Error(kUnavailable) when one cannot be started.
  RankProcesses(int32_t num_ranks, const Arguments& command);
  ~RankProcesses();
  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  engine::LeadingRank& leader() { return *leader_; }

  /// From now on, when a rank is lost, says so and ends the program with kExitRankLost.
  void watch();

 private:
  std::vector<pid_t> processes_;
  std::optional<engine::LeadingRank> leader_;
  /// The watch waits at the first end for the second to be shut down.
  std::pair<engine::RankLink, engine::RankLink> end_of_watch_ = engine::RankLink::pair();
  std::thread watch_;
};

/// This process as another's rank; nothing when it is none.
std::optional<engine::FollowingRank> following_rank();

}  // namespace llava::app
