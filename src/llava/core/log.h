// SPDX-License-Identifier: Apache-2.0
//
// Structured log lines on stderr: a level, a short event name and key=value fields. Results of the
// program go to stdout and never through here. LLAVA_LOG sets the level.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace llava {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

/// One key=value field of a log line; numbers and strings are accepted.
struct LogField {
  template <class T>
  LogField(std::string_view field_key, const T& field_value)
      : key(field_key), value(fmt::format("{}", field_value)) {}

  std::string_view key;
  std::string value;
};

/// Chooses level and form for the process. `level_name`: debug, info, warning, error, off.
///
/// Throws: Error(kInvalidArgument) for an unknown level name. Threads: call once at start.
void configure_log(std::string_view level_name, bool as_json);

/// The level now in use: "warning", ...
std::string_view current_log_level();

/// Writes one line when `level` is enabled. Threads: safe.
void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

inline void log_debug(std::string_view event, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::kDebug, event, fields);
}
inline void log_info(std::string_view event, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::kInfo, event, fields);
}
inline void log_warning(std::string_view event, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::kWarning, event, fields);
}
inline void log_error(std::string_view event, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::kError, event, fields);
}

}  // namespace llava
