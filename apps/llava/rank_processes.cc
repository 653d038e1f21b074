// SPDX-License-Identifier: Apache-2.0
#include "rank_processes.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/program_path.h"

extern char** environ;

namespace llava::app {
namespace {

// How a rank learns what it is: "rank ranks descriptor".
constexpr const char* kVariable = "LLAVA_MODEL_RANK";
constexpr std::chrono::milliseconds kWatchInterval{200};

// Everything is made before the fork: between fork and exec little is allowed.
struct Program {
  std::vector<std::string> texts;
  std::vector<char*> pointers;

  void add(std::string text) { texts.push_back(std::move(text)); }
  char** finish() {
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers.data();
  }
};

[[noreturn]] void become_rank(pid_t parent, int descriptor, char** arguments, char** environment) {
  // A process group of its own: the terminal's Ctrl-C is the first rank's.
  ::setpgid(0, 0);
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  if (::getppid() != parent) ::_exit(kExitRankLost);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::fcntl(descriptor, F_SETFD, 0);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  // Standard output is for the first rank's address.
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  ::execve(arguments[0], arguments, environment);
  ::_exit(kExitRankLost);
}

pid_t start_rank(int32_t rank, int32_t num_ranks, int descriptor, const Arguments& command) {
  Program arguments;
  arguments.add(program_path().string());
  for (const std::string& argument : command) arguments.add(argument);
  Program environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.add(*entry);
  environment.add(fmt::format("{}={} {} {}", kVariable, rank, num_ranks, descriptor));
  char** const argv = arguments.finish();
  char** const envp = environment.finish();
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    fail(ErrorCode::kUnavailable, "cannot start rank {} of {} of the model: {}", rank, num_ranks,
         std::strerror(errno));
  }
  if (child == 0) become_rank(parent, descriptor, argv, envp);
  return child;
}

}  // namespace

RankProcesses::RankProcesses(int32_t num_ranks, const Arguments& command) {
  std::vector<engine::RankLink> links;
  for (int32_t rank = 1; rank < num_ranks; ++rank) {
    auto [own, other] = engine::RankLink::pair();
    processes_.push_back(start_rank(rank, num_ranks, other.descriptor(), command));
    links.push_back(std::move(own));
  }
  leader_.emplace(std::move(links));
}

void RankProcesses::watch() {
  watch_ = std::jthread([this](const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any nothing;
    const auto never = [] { return false; };
    // Until the program ends, which wakes it at once.
    for (; !stop.stop_requested(); nothing.wait_for(lock, stop, kWatchInterval, never)) {
      if (const std::optional<int32_t> lost = leader_->find_lost()) {
        fmt::print(stderr,
                   "llava: rank {} of the model (process {}) has ended or does not answer, and "
                   "without it there is no model: see what it said, and start again\n",
                   *lost, processes_[static_cast<std::size_t>(*lost) - 1]);
        // The other ranks end when their sockets close.
        std::_Exit(kExitRankLost);
      }
    }
  });
}

RankProcesses::~RankProcesses() {
  watch_.request_stop();
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
