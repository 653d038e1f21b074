// SPDX-License-Identifier: Apache-2.0
//
// The processes that share a served model: this program again, once for each rank but the first, on
// this machine and, where the flags say so, on others.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "command.h"
#include "llava/engine/parallel/model_ranks.h"
#include "rank_options.h"

namespace llava::app {

/// Exit status when a rank has ended or does not answer: what it had of the model is gone.
inline constexpr int kExitRankLost = 3;

/// Starts the other ranks and ends them with itself.
///
/// Threads: the thread that makes it has to live as long as it does.
class RankProcesses {
 public:
  /// `command` is the subcommand and its arguments, which the others run too, until they come upon
  /// following_rank(). Those of other machines are waited for.
  ///
  /// Throws: Error(kUnavailable) when one cannot be started or does not come.
  RankProcesses(const RankOptions& options, const Arguments& command);
  ~RankProcesses();
  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  engine::LeadingRank& leader() { return *leader_; }

  /// From now on, when a rank is lost, says so and ends the program with kExitRankLost.
  void watch();

 private:
  std::vector<pid_t> processes_;  ///< of this machine
  std::optional<engine::LeadingRank> leader_;
  /// The watch waits at the first end for the second to be shut down.
  std::pair<engine::RankLink, engine::RankLink> end_of_watch_ = engine::RankLink::pair();
  std::thread watch_;
};

/// Starts this machine's ranks of a model that another machine serves, and waits for their end.
///
/// Returns the exit status: 0 after Ctrl-C or SIGTERM, else kExitRankLost or that of a rank which
/// could not load its share.
/// Throws: Error(kUnavailable) when the first rank does not listen; Error(kInvalidArgument) when it
/// refuses.   Threads: the only one.
int lend_ranks(const RankOptions& options, const Arguments& command);

/// This process as another's rank; nothing when it is none.
std::optional<engine::FollowingRank> following_rank();

}  // namespace llava::app
