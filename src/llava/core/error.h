// SPDX-License-Identifier: Apache-2.0
//
// The one exception type of the project and its closed list of codes. What a code means to a shell
// or to an HTTP client is decided in error.cc and nowhere else.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace llava {

/// Why an operation ended. The list is closed; error.cc maps each code to an exit and HTTP status.
enum class ErrorCode {
  kInvalidArgument,
  kNotFound,
  kBadFormat,
  kUnsupported,
  kResourceExhausted,
  kUnavailable,
  kCancelled,
  kInternal,
};

/// An error that ends the operation. The message names the thing, what was expected, what was
/// found, and what to do next.
class Error : public std::runtime_error {
 public:
  /// Control characters of the message, which may come from a file, are written as \xNN: none ends
  /// it or reaches the user's terminal.
  Error(ErrorCode code, const std::string& message);

  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// Throws Error with a formatted message.
template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// Name of a code as it appears in JSON: "invalid_argument", "not_found", ...
std::string_view error_code_name(ErrorCode code) noexcept;

/// Exit status of the program for an error of this code (docs/cli.md).
int exit_status(ErrorCode code) noexcept;

/// HTTP status for an error of this code.
int http_status(ErrorCode code) noexcept;

/// Exit status when a requested check failed: a threshold, `--verify`, `llava parity`.
inline constexpr int kExitCheckFailed = 5;
/// Exit status after Ctrl-C, as shells report it.
inline constexpr int kExitInterrupted = 130;

}  // namespace llava
