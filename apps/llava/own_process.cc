// SPDX-License-Identifier: Apache-2.0
#include "own_process.h"

#include <fcntl.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "llava/core/error.h"
#include "llava/core/program_path.h"

extern char** environ;

namespace llava::app {
namespace {

// A list of strings as execve wants it.
std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment_with(const std::vector<std::string>& set) {
  std::vector<std::string> result = set;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view name(*entry, std::string_view(*entry).find('=') + 1);
    const bool is_set =
        std::ranges::any_of(set, [&](const std::string& other) { return other.starts_with(name); });
    if (!is_set) result.emplace_back(*entry);
  }
  return result;
}

// In the child: only what is allowed between fork and exec.
[[noreturn]] void become(const OwnProcess& process, pid_t parent, const std::vector<char*>& argv,
                         const std::vector<char*>& envp) {
  ::setpgid(0, 0);
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  if (::getppid() != parent) ::_exit(kExitNotStarted);
  ::sigprocmask(SIG_SETMASK, &process.blocked_signals, nullptr);
  if (process.kept_descriptor >= 0) {
    ::fcntl(process.kept_descriptor, F_SETFD, 0);
    const int nothing = ::open("/dev/null", O_RDONLY);
    if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
  }
  ::execve(argv.front(), argv.data(), envp.data());
  ::_exit(kExitNotStarted);
}

}  // namespace

pid_t start_own_process(const OwnProcess& process) {
  std::vector<std::string> command{program_path().string()};
  command.insert(command.end(), process.arguments.begin(), process.arguments.end());
  std::vector<std::string> environment = environment_with(process.environment);
  const std::vector<char*> argv = pointers(command);
  const std::vector<char*> envp = pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    fail(ErrorCode::kUnavailable, "cannot start {}: {}", process.name, std::strerror(errno));
  }
  if (child == 0) become(process, parent, argv, envp);
  return child;
}

}  // namespace llava::app
