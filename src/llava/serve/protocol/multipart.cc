// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/multipart.h"

#include <algorithm>
#include <utility>

#include "llava/serve/http/http_message.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

constexpr std::size_t kMaxParts = 32;
constexpr std::size_t kMaxHeadBytes = 4096;
constexpr std::size_t kMaxBoundaryBytes = 70;
constexpr std::string_view kLineEnd = "\r\n";

[[noreturn]] void fail_form(const std::string& message) {
  throw ApiError(400, "invalid_multipart", "the form cannot be read: " + message);
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The text between quotes at the beginning of `rest`, which is cut off; a backslash stands before
/// quotes and backslashes only, for browsers write the others as they are.
std::string cut_quoted(std::string_view& rest) {
  std::string text;
  for (std::size_t i = 1; i < rest.size(); ++i) {
    if (rest[i] == '"') {
      rest.remove_prefix(i + 1);
      return text;
    }
    const bool is_escape =
        rest[i] == '\\' && i + 1 < rest.size() && (rest[i + 1] == '"' || rest[i + 1] == '\\');
    if (is_escape) ++i;
    text += rest[i];
  }
  fail_form("a quote that does not end");
}

/// The value of one parameter of a header, such as name in `form-data; name="file"`.
std::optional<std::string> find_parameter(std::string_view header, std::string_view wanted) {
  std::optional<std::string> found;
  std::string_view rest = header.substr(std::min(header.size(), header.find(';')));
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::size_t equals = rest.find_first_of("=;");
    if (equals == std::string_view::npos || rest[equals] == ';') {
      rest.remove_prefix(std::min(rest.size(), equals));
      continue;
    }
    const std::string_view name = trim(rest.substr(0, equals));
    rest = trim(rest.substr(equals + 1));
    std::string value;
    if (rest.starts_with('"')) {
      value = cut_quoted(rest);
      rest.remove_prefix(std::min(rest.size(), rest.find(';')));
    } else {
      const std::size_t end = std::min(rest.size(), rest.find(';'));
      value = std::string(trim(rest.substr(0, end)));
      rest.remove_prefix(end);
    }
    if (!equals_ignoring_case(name, wanted)) continue;
    if (found) fail_form(fmt::format("two parameters '{}'", wanted));
    found = std::move(value);
  }
  return found;
}

std::string boundary_of(std::string_view content_type) {
  const std::string_view media = trim(content_type.substr(0, content_type.find(';')));
  if (!equals_ignoring_case(media, "multipart/form-data")) {
    throw ApiError(415, "unsupported_media_type",
                   fmt::format("the body's type is '{}', expected multipart/form-data", media));
  }
  auto boundary = find_parameter(content_type, "boundary");
  const auto is_plain = [](char c) { return c > ' ' && c < 0x7f && c != '"'; };
  if (!boundary || boundary->empty() || boundary->size() > kMaxBoundaryBytes ||
      !std::ranges::all_of(*boundary, is_plain)) {
    fail_form("its Content-Type has no usable boundary");
  }
  return *std::move(boundary);
}

/// One part: a head, an empty line, and the content.
FormPart read_part(std::string_view text) {
  // Without headers a part begins with the empty line.
  const std::size_t head_end = text.find("\r\n\r\n");
  static_assert(std::string_view::npos > kMaxHeadBytes);  // one that is not there is too far away
  if (head_end > kMaxHeadBytes) fail_form("a part without an end of its head");
  FormPart part{.name = {}, .filename = std::nullopt, .body = text.substr(head_end + 4)};
  bool has_disposition = false;
  std::string_view head = text.substr(0, head_end);
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find(kLineEnd));
    head.remove_prefix(std::min(head.size(), line.size() + kLineEnd.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) fail_form("a head's line without ':'");
    if (!equals_ignoring_case(line.substr(0, colon), "Content-Disposition")) continue;
    const std::string_view value = trim(line.substr(colon + 1));
    if (std::exchange(has_disposition, true)) fail_form("a part with two dispositions");
    if (!equals_ignoring_case(trim(value.substr(0, value.find(';'))), "form-data")) {
      fail_form("a part that is no form-data");
    }
    part.name = find_parameter(value, "name").value_or("");
    part.filename = find_parameter(value, "filename");
  }
  if (part.name.empty()) fail_form("a part without a name");
  return part;
}

}  // namespace

std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view body) {
  const std::string delimiter = "--" + boundary_of(content_type);
  const std::string next = fmt::format("\r\n{}", delimiter);
  // What may stand before the first delimiter is for readers that know no forms.
  std::size_t at = body.starts_with(delimiter) ? delimiter.size() : body.find(next);
  if (at == std::string_view::npos) fail_form("its boundary does not occur");
  if (!body.starts_with(delimiter)) at += next.size();
  std::vector<FormPart> parts;
  while (true) {
    std::string_view rest = body.substr(at);
    if (rest.starts_with("--")) return parts;
    while (rest.starts_with(' ') || rest.starts_with('\t')) rest.remove_prefix(1);
    if (!rest.starts_with(kLineEnd)) fail_form("a boundary that is followed by something else");
    rest.remove_prefix(kLineEnd.size());
    const std::size_t end = rest.find(next);
    if (end == std::string_view::npos) fail_form("its last part does not end");
    if (parts.size() == kMaxParts) fail_form(fmt::format("more than {} parts", kMaxParts));
    parts.push_back(read_part(rest.substr(0, end)));
    at = static_cast<std::size_t>(rest.data() - body.data()) + end + next.size();
  }
}

}  // namespace llava::serve
