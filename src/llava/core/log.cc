// SPDX-License-Identifier: Apache-2.0
#include "llava/core/log.h"

#include <fmt/chrono.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <memory>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/core/json.h"
#include "llava/core/log_file.h"

namespace llava {
namespace {

// The process's one log sink (docs/architecture.md names the few singletons).
struct Sink {
  std::shared_ptr<spdlog::logger> logger;
  std::atomic<LogLevel> level{LogLevel::kWarning};
  std::atomic<bool> as_json{false};
  std::atomic<bool> has_file{false};
  Guarded<std::unique_ptr<LogFile>> file;

  Sink()
      : logger(std::make_shared<spdlog::logger>(
            "llava", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
    logger->set_level(spdlog::level::trace);
    logger->set_pattern("%v");
    logger->flush_on(spdlog::level::trace);
  }
};

Sink& sink() {
  static Sink instance;
  return instance;
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
    case LogLevel::kOff:
      break;
  }
  return "off";
}

bool needs_quotes(std::string_view value) {
  return value.empty() || value.find_first_of(" \t\n\"=") != std::string_view::npos;
}

std::string message_of(std::string_view event, std::initializer_list<LogField> fields) {
  std::string line(event);
  for (const LogField& field : fields) {
    const std::string value = needs_quotes(field.value) ? to_text(Json(field.value)) : field.value;
    line += fmt::format(" {}={}", field.key, value);
  }
  return line;
}

std::string text_line(LogLevel level, std::string_view event,
                      std::initializer_list<LogField> fields) {
  return fmt::format("{}: {}", level_name(level), message_of(event, fields));
}

/// A line of the original's logs.
std::string file_line(LogLevel level, std::string_view event,
                      std::initializer_list<LogField> fields,
                      std::chrono::system_clock::time_point now) {
  std::string name(level_name(level));
  for (char& c : name) c = static_cast<char>(c - 'a' + 'A');
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  return fmt::format("{:%Y-%m-%d %H:%M:%S} | {} | llava | {}", fmt::localtime(seconds), name,
                     message_of(event, fields));
}

/// "2026-11-29T07:36:52.123Z"
std::string utc_time() {
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(now - seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), rest.count());
}

std::string json_line(LogLevel level, std::string_view event,
                      std::initializer_list<LogField> fields) {
  OrderedJson line;
  line["time"] = utc_time();
  line["level"] = level_name(level);
  line["event"] = event;
  for (const LogField& field : fields) line[std::string(field.key)] = field.value;
  return to_text(line);
}

}  // namespace

void configure_log(std::string_view name, bool as_json) {
  for (const LogLevel level :
       {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError, LogLevel::kOff}) {
    if (level_name(level) == name) {
      sink().level = level;
      sink().as_json = as_json;
      return;
    }
  }
  fail(ErrorCode::kInvalidArgument,
       "log level '{}' is unknown, expected debug, info, warning, error or off", name);
}

std::string_view current_log_level() { return level_name(sink().level.load()); }

void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  Sink& target = sink();
  if (level < target.level) return;
  const bool as_json = target.as_json;
  target.logger->info("{}",
                      as_json ? json_line(level, event, fields) : text_line(level, event, fields));
  if (!target.has_file) return;
  const auto now = std::chrono::system_clock::now();
  const std::string line =
      as_json ? json_line(level, event, fields) : file_line(level, event, fields, now);
  target.file.with([&](auto& file) {
    if (file) file->write(line, now);
  });
}

void log_to_file(LogFileOptions options) {
  std::unique_ptr<LogFile> next;
  if (!options.file.empty()) {
    next = std::make_unique<LogFile>(std::move(options), std::chrono::system_clock::now());
  }
  sink().has_file = next != nullptr;
  sink().file.with([&](auto& file) { file = std::move(next); });
}

}  // namespace llava
