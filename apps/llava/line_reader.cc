// SPDX-License-Identifier: Apache-2.0
#include "line_reader.h"

#include <editline/readline.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace llava::app {
namespace {

constexpr int kMaxHistory = 1000;

// $XDG_STATE_HOME/llava/chat_history, the place the base directory specification gives histories.
std::filesystem::path history_path() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state != '\0') {
    return std::filesystem::path(state) / "llava" / "chat_history";
  }
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / ".local" / "state" / "llava" / "chat_history";
}

}  // namespace

LineReader::LineReader()
    : is_terminal_(::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1) {
  if (!is_terminal_) return;
  using_history();
  stifle_history(kMaxHistory);
  history_file_ = history_path();
  if (!history_file_.empty()) read_history(history_file_.c_str());
}

LineReader::~LineReader() {
  if (!is_terminal_ || history_file_.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(history_file_.parent_path(), error);
  if (!error) write_history(history_file_.c_str());
}

std::optional<std::string> LineReader::read(const std::string& prompt) {
  if (!is_terminal_) {
    std::fputs(prompt.c_str(), stdout);
    std::fflush(stdout);
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  }
  char* text = ::readline(prompt.c_str());
  if (text == nullptr) return std::nullopt;
  std::string line(text);
  std::free(text);
  if (!line.empty()) add_history(line.c_str());
  return line;
}

}  // namespace llava::app
