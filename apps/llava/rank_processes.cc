// SPDX-License-Identifier: Apache-2.0
#include "rank_processes.h"

#include <signal.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "llava/core/error.h"
#include "own_process.h"
#include "process_group.h"

namespace llava::app {
namespace {

// How a rank learns what it is: "rank ranks descriptor".
constexpr const char* kVariable = "LLAVA_MODEL_RANK";

// A rank that is led through `link`.
OwnProcess process_of(const model::ModelShare& share, const engine::RankLink& link,
                      const Arguments& command) {
  OwnProcess process{.name = fmt::format("rank {} of {} of the model", share.rank, share.num_ranks),
                     .arguments = command,
                     .environment = {fmt::format("{}={} {} {}", kVariable, share.rank,
                                                 share.num_ranks, link.descriptor())},
                     .kept_descriptor = link.descriptor()};
  sigemptyset(&process.blocked_signals);
  return process;
}

}  // namespace

RankProcesses::RankProcesses(const RankOptions& options, const Arguments& command) {
  std::optional<engine::RankListener> others;
  if (options.nnodes > 1) others.emplace(options.meeting());
  std::vector<engine::RankLink> links;
  for (int32_t rank = 1; rank < options.num_local(); ++rank) {
    auto [own, other] = engine::RankLink::pair();
    processes_.push_back(
        start_own_process(process_of({.rank = rank, .num_ranks = options.tp}, other, command)));
    links.push_back(std::move(own));
  }
  if (others) {
    fmt::print(stderr, "llava: waiting on {}:{} for {} ranks of other machines\n",
               options.master_addr, others->port(), options.tp - options.num_local());
    for (engine::RankLink& link : others->admit(options.num_local(), options.tp)) {
      links.push_back(std::move(link));
    }
  }
  leader_.emplace(std::move(links), options.encoder_dp);
}

void RankProcesses::watch() {
  watch_ = std::thread([this] {
    const std::optional<int32_t> lost = leader_->wait_for_lost(end_of_watch_.first);
    if (!lost) return;
    const auto local = static_cast<std::size_t>(*lost) - 1;
    fmt::print(stderr,
               "llava: rank {} of the model ({}) has ended or does not answer, and without it "
               "there is no model: see what it said, and start again\n",
               *lost,
               local < processes_.size() ? fmt::format("process {}", processes_[local])
                                         : "on another machine");
    // The other ranks end when their sockets close.
    std::_Exit(kExitRankLost);
  });
}

RankProcesses::~RankProcesses() {
  end_of_watch_.second.shut_down();
  if (watch_.joinable()) watch_.join();
  for (const pid_t process : processes_) ::kill(process, SIGKILL);
  for (const pid_t process : processes_) ::waitpid(process, nullptr, 0);
}

int lend_ranks(const RankOptions& options, const Arguments& command) {
  const engine::RankMeeting meeting = options.meeting();
  fmt::print(stderr, "llava: joining the first rank of the model on {}:{}\n", meeting.host,
             meeting.port);
  std::vector<std::pair<model::ModelShare, engine::RankLink>> joined;
  for (int32_t i = 0; i < options.num_local(); ++i) {
    const model::ModelShare share{.rank = options.first_local() + i, .num_ranks = options.tp};
    joined.emplace_back(share, engine::join_ranks(meeting, share));
  }
  ProcessGroup ranks;
  for (const auto& [share, link] : joined) ranks.start(process_of(share, link, command));
  joined.clear();  // the first rank has to see the end of each
  fmt::print(stderr, "llava: lends {} of the model's {} ranks\n", options.num_local(), options.tp);
  if (ranks.wait_for_first()) return 0;
  if (const auto failed = ranks.failed(); failed && WIFEXITED(ranks.status(*failed))) {
    return WEXITSTATUS(ranks.status(*failed));
  }
  fmt::print(stderr,
             "llava: the model has lost its first rank or one of this machine: see what "
             "they said, and start again\n");
  return kExitRankLost;
}

std::optional<engine::FollowingRank> following_rank() {
  const char* text = std::getenv(kVariable);
  if (text == nullptr) return std::nullopt;
  model::ModelShare share;
  int descriptor = -1;
  if (std::sscanf(text, "%d %d %d", &share.rank, &share.num_ranks, &descriptor) != 3 ||
      share.rank < 1 || share.rank >= share.num_ranks || descriptor < 0) {
    fail(ErrorCode::kInvalidArgument, "environment variable {} is '{}': only --tp sets it",
         kVariable, text);
  }
  return engine::FollowingRank(share, engine::RankLink(Descriptor(descriptor)));
}

}  // namespace llava::app
