// SPDX-License-Identifier: Apache-2.0
#include "share_command.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <sstream>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "spawn.h"

namespace llava::app {
namespace {

constexpr std::chrono::seconds kEndTime{5};

void replace_all(std::string& text, const std::string& name, const std::string& value) {
  for (std::size_t at = text.find(name); at != std::string::npos;
       at = text.find(name, at + value.size())) {
    text.replace(at, name.size(), value);
  }
}

}  // namespace

std::vector<std::string> share_command_words(const std::string& command,
                                             const std::string& address) {
  std::vector<std::string> words;
  std::istringstream stream(command);
  for (std::string word; stream >> word;) {
    replace_all(word, "{address}", address);
    replace_all(word, "{port}", address.substr(address.rfind(':') + 1));
    words.push_back(word);
  }
  return words;
}

ShareCommand::ShareCommand(const std::string& command, const std::string& address) {
  const auto words = share_command_words(command, address);
  if (words.empty()) fail(ErrorCode::kInvalidArgument, "--share-command names no program");
  const auto child = spawn(words, false);
  if (!child) {
    fail(ErrorCode::kNotFound, "--share-command: cannot start '{}': {}", words.front(),
         std::strerror(errno));
  }
  child_ = *child;
  waiter_ = std::jthread([this] { wait_for_child(); });
}

void ShareCommand::wait_for_child() {
  siginfo_t info{};
  // The child stays known by its number until it is reaped below.
  while (::waitid(P_PID, static_cast<id_t>(child_), &info, WEXITED | WNOWAIT) != 0 &&
         errno == EINTR) {
  }
  const std::lock_guard lock(mutex_);
  has_ended_ = true;
  if (!is_ending_) {
    log_warning("share_command_ended",
                {{"status", info.si_status}, {"hint", "the page is not shared any more"}});
  }
  ended_.notify_all();
}

ShareCommand::~ShareCommand() {
  {
    std::unique_lock lock(mutex_);
    is_ending_ = true;
    if (!has_ended_) {
      ::kill(-child_, SIGTERM);
      if (!ended_.wait_for(lock, kEndTime, [this] { return has_ended_; })) {
        ::kill(-child_, SIGKILL);
      }
    }
  }
  waiter_.join();
  ::waitpid(child_, nullptr, 0);
}

}  // namespace llava::app
