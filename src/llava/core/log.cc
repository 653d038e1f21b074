// SPDX-License-Identifier: Apache-2.0
#include "llava/core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava {
namespace {

// The process's one log sink (docs/architecture.md names the few singletons).
struct Sink {
  std::shared_ptr<spdlog::logger> logger;
  std::atomic<LogLevel> level{LogLevel::kWarning};
  std::atomic<bool> as_json{false};

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

std::string text_line(LogLevel level, std::string_view event,
                      std::initializer_list<LogField> fields) {
  std::string line = fmt::format("{}: {}", level_name(level), event);
  for (const LogField& field : fields) {
    const std::string value = needs_quotes(field.value) ? to_text(Json(field.value)) : field.value;
    line += fmt::format(" {}={}", field.key, value);
  }
  return line;
}

std::string json_line(LogLevel level, std::string_view event,
                      std::initializer_list<LogField> fields) {
  OrderedJson line;
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

void log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  Sink& target = sink();
  if (level < target.level) return;
  target.logger->info(
      "{}", target.as_json ? json_line(level, event, fields) : text_line(level, event, fields));
}

}  // namespace llava
