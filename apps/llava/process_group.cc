// SPDX-License-Identifier: Apache-2.0
#include "process_group.h"

#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "llava/core/error.h"

namespace llava::app {
namespace {

// How long the others have to end by themselves when one has failed.
constexpr time_t kGraceSeconds = 5;

// How likely it is that the one with this status is that which the others ended for: those say that
// it was unavailable, and may be seen first.
int weight(int status) {
  if (status == 0) return 0;
  if (!WIFEXITED(status)) return 3;
  return WEXITSTATUS(status) == exit_status(ErrorCode::kUnavailable) ? 1 : 2;
}

}  // namespace

ProcessGroup::ProcessGroup() {
  sigemptyset(&signals_);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM}) sigaddset(&signals_, signal);
  ::sigprocmask(SIG_BLOCK, &signals_, &before_);
}

ProcessGroup::~ProcessGroup() {
  signal_all(SIGKILL);
  while (num_alive() > 0) reap(0);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void ProcessGroup::start(OwnProcess process) {
  process.blocked_signals = before_;
  members_.push_back({.process = start_own_process(process)});
}

bool ProcessGroup::wait() {
  bool is_interrupted = false;
  std::optional<time_t> deadline;
  while (num_alive() > 0) {
    const int signal = next_signal(deadline);
    if (signal == SIGINT || signal == SIGTERM) {
      is_interrupted = true;
      signal_all(SIGINT);
    } else if (signal == SIGCHLD) {
      reap(WNOHANG);
    } else if (deadline && ::time(nullptr) >= *deadline) {
      is_killing_ = true;
      signal_all(SIGKILL);
    }
    if (!deadline && failed_ && !is_interrupted) deadline = ::time(nullptr) + kGraceSeconds;
  }
  return is_interrupted;
}

bool ProcessGroup::wait_for_first() {
  while (num_alive() == members_.size()) {
    if (next_signal(std::nullopt) != SIGCHLD) return true;
    reap(WNOHANG);
  }
  return false;
}

std::size_t ProcessGroup::num_alive() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(members_, [](const Member& member) { return !member.status; }));
}

void ProcessGroup::signal_all(int signal) const {
  for (const Member& member : members_) {
    if (!member.status) ::kill(member.process, signal);
  }
}

// The next signal; 0 when the deadline is over.
int ProcessGroup::next_signal(std::optional<time_t> deadline) const {
  for (;;) {
    const timespec left{.tv_sec = deadline ? std::max<time_t>(0, *deadline - ::time(nullptr)) : 0,
                        .tv_nsec = 0};
    const int signal =
        deadline ? ::sigtimedwait(&signals_, nullptr, &left) : ::sigwaitinfo(&signals_, nullptr);
    if (signal > 0) return signal;
    if (errno == EAGAIN) return 0;
  }
}

void ProcessGroup::reap(int options) {
  int status = 0;
  for (pid_t process = ::waitpid(-1, &status, options); process > 0;
       process = ::waitpid(-1, &status, WNOHANG)) {
    const auto member = std::ranges::find(members_, process, &Member::process);
    if (member == members_.end()) continue;
    member->status = status;
    const auto index = static_cast<std::size_t>(member - members_.begin());
    if (is_killing_ || weight(status) == 0) continue;
    if (!failed_ || weight(status) > weight(*members_[*failed_].status)) failed_ = index;
  }
}

}  // namespace llava::app
