// SPDX-License-Identifier: Apache-2.0
//
// LogFile: a log in a folder, a file a day, of which old ones are removed.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "llava/core/descriptor.h"

namespace llava {

/// Where a process's log is kept.
struct LogFileOptions {
  std::filesystem::path folder;
  std::string file;           ///< "controller.log"
  std::string family = file;  ///< how the files begin that are removed when they are old
  int32_t keep_days = 30;     ///< 0: for ever
};

/// Lines of one day (UTC) are in `file`; when the day has ended it gets ".YYYY-MM-DD" behind its
/// name, as the original's does.
///
/// Threads: one thread at a time; several processes with different files may share a folder.
class LogFile {
 public:
  using Time = std::chrono::system_clock::time_point;

  /// Makes the folder, and removes what is too old.
  ///
  /// Throws: Error(kNotFound) naming the folder or file that cannot be made or opened.
  LogFile(LogFileOptions options, Time now);

  /// Appends a line; `line` has no end. A log that cannot be written is no reason to stop.
  void write(std::string_view line, Time now);

 private:
  using Days = std::chrono::sys_days;

  std::filesystem::path path() const { return options_.folder / options_.file; }
  Descriptor open() const;
  void rotate(Days today);
  void remove_old(Time now) const;

  LogFileOptions options_;
  Descriptor out_;
  Days day_;  ///< of what is in the file
};

/// From now on the process's log goes to such a file as well. Lines of text are the original's,
/// `YYYY-MM-DD HH:MM:SS | LEVEL | llava | message` in local time; as JSON they are those of
/// standard error. Without a file's name the log leaves the last one.   Threads: call once at
/// start.
///
/// Throws: as LogFile's constructor.
void log_to_file(LogFileOptions options);

}  // namespace llava
