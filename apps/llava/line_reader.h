// SPDX-License-Identifier: Apache-2.0
//
// Lines from the user: edited with history at a terminal, plain otherwise.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace llava::app {

/// Threads: one thread at a time; one object per process.
class LineReader {
 public:
  /// Reads the history file if there is one; without a terminal no history is kept.
  LineReader();
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  /// Shows `prompt` and reads one line without its newline; nothing at the end of input.
  std::optional<std::string> read(const std::string& prompt);

 private:
  bool is_terminal_;
  std::filesystem::path history_file_;
};

}  // namespace llava::app
