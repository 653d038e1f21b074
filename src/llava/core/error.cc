// SPDX-License-Identifier: Apache-2.0
#include "llava/core/error.h"

#include <array>

namespace llava {
namespace {

struct CodeRow {
  ErrorCode code;
  std::string_view name;
  int exit_status;
  int http_status;
};

constexpr std::array<CodeRow, 8> kCodes{{
    {ErrorCode::kInvalidArgument, "invalid_argument", 2, 400},
    {ErrorCode::kNotFound, "not_found", 3, 404},
    {ErrorCode::kBadFormat, "bad_format", 3, 400},
    {ErrorCode::kUnsupported, "unsupported", 3, 400},
    {ErrorCode::kResourceExhausted, "resource_exhausted", 4, 503},
    {ErrorCode::kUnavailable, "unavailable", 4, 503},
    {ErrorCode::kCancelled, "cancelled", kExitInterrupted, 499},
    {ErrorCode::kInternal, "internal", 1, 500},
}};

const CodeRow& row_of(ErrorCode code) noexcept {
  for (const CodeRow& row : kCodes) {
    if (row.code == code) return row;
  }
  return kCodes.back();
}

std::string printable(const std::string& message) {
  std::string text;
  text.reserve(message.size());
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

Error::Error(ErrorCode code, const std::string& message)
    : std::runtime_error(printable(message)), code_(code) {}

std::string_view error_code_name(ErrorCode code) noexcept { return row_of(code).name; }
int exit_status(ErrorCode code) noexcept { return row_of(code).exit_status; }
int http_status(ErrorCode code) noexcept { return row_of(code).http_status; }

}  // namespace llava
