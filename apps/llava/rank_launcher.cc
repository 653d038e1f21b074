// SPDX-License-Identifier: Apache-2.0
#include "rank_launcher.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string_view>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/core/program_path.h"
#include "own_process.h"

namespace llava::app {
namespace {

// How long the other ranks have to end by themselves when one has failed.
constexpr time_t kGraceSeconds = 5;

// A port of this machine that is free now.
uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool is_bound = fd >= 0 && ::bind(fd, generic, sizeof(address)) == 0 &&
                        ::getsockname(fd, generic, &size) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!is_bound) {
    fail(ErrorCode::kUnavailable, "no port for the ranks to meet at: {}", std::strerror(error));
  }
  return ntohs(address.sin_port);
}

std::vector<std::string> environment_of(int32_t rank, int32_t num_ranks, uint16_t port) {
  return {fmt::format("RANK={}", rank),
          fmt::format("LOCAL_RANK={}", rank),
          fmt::format("WORLD_SIZE={}", num_ranks),
          fmt::format("LOCAL_WORLD_SIZE={}", num_ranks),
          "MASTER_ADDR=127.0.0.1",
          fmt::format("MASTER_PORT={}", port)};
}

struct Rank {
  pid_t process = 0;
  std::optional<int> status = std::nullopt;  // of waitpid
};

class Ranks {
 public:
  // Blocks the signals that wait() takes.
  Ranks() {
    sigemptyset(&signals_);
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM}) sigaddset(&signals_, signal);
    ::sigprocmask(SIG_BLOCK, &signals_, &before_);
  }
  ~Ranks() {
    signal_all(SIGKILL);
    while (is_any_alive()) reap(0);
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  void start(int32_t rank, int32_t num_ranks, uint16_t port, const Arguments& arguments) {
    ranks_.push_back(
        {.process = start_own_process({.name = fmt::format("rank {} of {}", rank, num_ranks),
                                       .arguments = arguments,
                                       .environment = environment_of(rank, num_ranks, port),
                                       .blocked_signals = before_})});
  }

  // Until all have ended; true when Ctrl-C or SIGTERM came.
  bool wait() {
    bool is_interrupted = false;
    std::optional<time_t> deadline;
    while (is_any_alive()) {
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

  // The one that did not end well, if any; the others ended for it.
  std::optional<std::size_t> failed() const { return failed_; }
  const Rank& operator[](std::size_t rank) const { return ranks_[rank]; }

 private:
  bool is_any_alive() const {
    return std::ranges::any_of(ranks_, [](const Rank& rank) { return !rank.status; });
  }

  void signal_all(int signal) const {
    for (const Rank& rank : ranks_) {
      if (!rank.status) ::kill(rank.process, signal);
    }
  }

  // How likely it is that the rank with this status is the one that the others ended for: those
  // say that it was unavailable, and may be seen first.
  static int weight(int status) {
    if (status == 0) return 0;
    if (!WIFEXITED(status)) return 3;
    return WEXITSTATUS(status) == exit_status(ErrorCode::kUnavailable) ? 1 : 2;
  }

  // The next signal; 0 when the deadline is over.
  int next_signal(std::optional<time_t> deadline) const {
    for (;;) {
      const timespec left{.tv_sec = deadline ? std::max<time_t>(0, *deadline - ::time(nullptr)) : 0,
                          .tv_nsec = 0};
      const int signal =
          deadline ? ::sigtimedwait(&signals_, nullptr, &left) : ::sigwaitinfo(&signals_, nullptr);
      if (signal > 0) return signal;
      if (errno == EAGAIN) return 0;
    }
  }

  void reap(int options) {
    int status = 0;
    for (pid_t process = ::waitpid(-1, &status, options); process > 0;
         process = ::waitpid(-1, &status, WNOHANG)) {
      const auto rank = std::ranges::find(ranks_, process, &Rank::process);
      if (rank == ranks_.end()) continue;
      rank->status = status;
      const auto index = static_cast<std::size_t>(rank - ranks_.begin());
      if (is_killing_ || weight(status) == 0) continue;
      if (!failed_ || weight(status) > weight(*ranks_[*failed_].status)) failed_ = index;
    }
  }

  sigset_t signals_{};
  sigset_t before_{};
  std::vector<Rank> ranks_;
  std::optional<std::size_t> failed_;
  bool is_killing_ = false;
};

}  // namespace

bool is_rank() {
  const char* rank = std::getenv("RANK");
  return rank != nullptr && *rank != '\0';
}

bool is_first_rank() {
  const char* rank = std::getenv("RANK");
  return rank != nullptr && std::string_view(rank) == "0";
}

int run_ranks(int32_t num_ranks, const Arguments& arguments) {
  const uint16_t port = free_port();
  Ranks ranks;
  for (int32_t rank = 0; rank < num_ranks; ++rank) ranks.start(rank, num_ranks, port, arguments);
  const bool is_interrupted = ranks.wait();
  if (!ranks.failed()) return 0;
  const std::size_t rank = *ranks.failed();
  const int status = *ranks[rank].status;
  if (WIFEXITED(status)) {
    const int exit_status = WEXITSTATUS(status);
    if (is_interrupted && exit_status == kExitInterrupted) return kExitInterrupted;
    if (exit_status == kExitNotStarted) {
      fail(ErrorCode::kUnavailable, "rank {} of {} cannot be started from '{}'", rank, num_ranks,
           program_path().string());
    }
    log_error("rank_failed", {{"rank", std::to_string(rank)}, {"of", std::to_string(num_ranks)}});
    return exit_status;
  }
  fail(ErrorCode::kUnavailable,
       "rank {} of {} (process {}) was killed by signal {} ({}), and the others were ended: start "
       "again to go on from the newest checkpoint",
       rank, num_ranks, ranks[rank].process, WTERMSIG(status), ::strsignal(WTERMSIG(status)));
}

}  // namespace llava::app
