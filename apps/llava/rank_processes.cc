// SPDX-License-Identifier: Apache-2.0
#include "rank_processes.h"

#include <signal.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "llava/core/error.h"
#include "own_process.h"

namespace llava::app {
namespace {

// How a rank learns what it is: "rank ranks descriptor".
constexpr const char* kVariable = "LLAVA_MODEL_RANK";

}  // namespace

RankProcesses::RankProcesses(int32_t num_ranks, const Arguments& command) {
  std::vector<engine::RankLink> links;
  for (int32_t rank = 1; rank < num_ranks; ++rank) {
    auto [own, other] = engine::RankLink::pair();
    OwnProcess process{
        .name = fmt::format("rank {} of {} of the model", rank, num_ranks),
        .arguments = command,
        .environment = {fmt::format("{}={} {} {}", kVariable, rank, num_ranks, other.descriptor())},
        .blocked_signals = {},
        .kept_descriptor = other.descriptor()};
    sigemptyset(&process.blocked_signals);
    processes_.push_back(start_own_process(process));
    links.push_back(std::move(own));
  }
  leader_.emplace(std::move(links));
}

void RankProcesses::watch() {
  watch_ = std::thread([this] {
    const std::optional<int32_t> lost = leader_->wait_for_lost(end_of_watch_.first);
    if (!lost) return;
    fmt::print(stderr,
               "llava: rank {} of the model (process {}) has ended or does not answer, and without "
               "it there is no model: see what it said, and start again\n",
               *lost, processes_[static_cast<std::size_t>(*lost) - 1]);
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
