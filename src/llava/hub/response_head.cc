// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/response_head.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>

namespace llava::hub {
namespace {

constexpr std::size_t kMaxTextLength = 1000;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "HTTP/1.1 206 Partial Content" -> 206
std::optional<int> status_of(std::string_view line) {
  if (!line.starts_with("HTTP/")) return std::nullopt;
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return 0;
  const auto status = number(line.substr(space + 1, 3));
  return status && *status >= 100 ? static_cast<int>(*status) : 0;
}

// "bytes 0-99/1000", "bytes 0-99/*"
std::optional<ContentRange> range_of(std::string_view value) {
  constexpr std::string_view kUnit = "bytes ";
  if (!value.starts_with(kUnit)) return std::nullopt;
  value.remove_prefix(kUnit.size());
  const std::size_t dash = value.find('-');
  const std::size_t slash = value.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto first = number(value.substr(0, dash));
  const auto last = number(value.substr(dash + 1, slash - dash - 1));
  if (!first || !last || *last < *first || *last == UINT64_MAX) return std::nullopt;
  ContentRange range{.begin = *first, .end = *last + 1, .size = std::nullopt};
  if (value.substr(slash + 1) == "*") return range;
  range.size = number(value.substr(slash + 1));
  if (!range.size || *range.size < range.end) return std::nullopt;
  return range;
}

std::string etag_of(std::string_view value) {
  if (value.starts_with("W/")) value.remove_prefix(2);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  return std::string(value.substr(0, kMaxTextLength));
}

// Seconds, or a date.
std::optional<std::chrono::seconds> retry_after_of(const std::string& value) {
  constexpr int64_t kMostSeconds = 1'000'000;
  if (const auto seconds = number(value)) {
    return std::chrono::seconds(std::min<uint64_t>(*seconds, kMostSeconds));
  }
  const std::time_t date = curl_getdate(value.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  const int64_t left = static_cast<int64_t>(date) - static_cast<int64_t>(std::time(nullptr));
  return std::chrono::seconds(std::clamp<int64_t>(left, 0, kMostSeconds));
}

}  // namespace

void ResponseHead::add_line(std::string_view line) {
  line = trimmed(line);
  if (const auto new_status = status_of(line)) {
    *this = ResponseHead{};
    status = *new_status;
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = lower(trimmed(line.substr(0, colon)));
  const std::string_view value = trimmed(line.substr(colon + 1));
  const std::string text(value.substr(0, kMaxTextLength));
  if (name == "content-length") {
    content_length = number(value);
  } else if (name == "content-range") {
    content_range = range_of(value);
  } else if (name == "etag") {
    etag = etag_of(value);
  } else if (name == "x-linked-etag") {
    linked_etag = etag_of(value);
  } else if (name == "x-linked-size") {
    linked_size = number(value);
  } else if (name == "x-repo-commit") {
    commit = text;
  } else if (name == "retry-after") {
    retry_after = retry_after_of(text);
  } else if (name == "x-error-code") {
    error_code = text;
  } else if (name == "x-error-message") {
    error_message = text;
  }
}

}  // namespace llava::hub
