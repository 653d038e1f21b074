// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/json_lines.h"

#include <fmt/format.h>

#include <cmath>
#include <string_view>

#include "llava/core/error.h"
#include "llava/core/file.h"

namespace llava::train_report {
namespace {

constexpr std::size_t kMostListed = 3;
constexpr std::size_t kMaxLineBytes = std::size_t{64} << 20;
// The largest count that a double tells from its neighbours, so that sums stay sensible.
constexpr uint64_t kMaxCount = uint64_t{1} << 53;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

// What is wrong with a line; empty for one that was taken.
std::string read_line(std::string_view line, const std::function<void(const Json&)>& take) {
  if (line.size() > kMaxLineBytes) return fmt::format("{} bytes long", line.size());
  try {
    const Json object = parse_json(line, "entry");
    if (!object.is_object()) return "no JSON object";
    take(object);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

std::string BrokenLines::text() const {
  std::string out;
  if (count > 0) {
    out = fmt::format("{}: {} {} could not be read and {} left out", file, count,
                      count == 1 ? "line" : "lines", count == 1 ? "is" : "are");
    for (const std::string& line : first) out += "; " + line;
    if (count > first.size()) out += "; ...";
  }
  if (has_torn_end) {
    out += fmt::format("{}{}: the last line is not finished: the run is writing it, or was killed",
                       out.empty() ? "" : ". ", file);
  }
  return out;
}

BrokenLines take_json_lines(std::string_view text, const std::string& file,
                            const std::function<void(const Json&)>& take) {
  BrokenLines broken{.file = file};
  uint64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    const bool is_last = end == std::string_view::npos;
    const std::string_view line = text.substr(begin, is_last ? end : end - begin);
    begin = is_last ? text.size() : end + 1;
    ++number;
    if (is_blank(line)) continue;
    const std::string wrong = read_line(line, take);
    if (wrong.empty()) continue;
    if (is_last) {
      broken.has_torn_end = true;
      continue;
    }
    if (++broken.count <= kMostListed) {
      broken.first.push_back(fmt::format("line {}: {}", number, wrong));
    }
  }
  return broken;
}

BrokenLines read_json_lines(const std::filesystem::path& path,
                            const std::function<void(const Json&)>& take) {
  const auto mapped = MappedFile::open(path);
  const std::string_view text(reinterpret_cast<const char*>(mapped->bytes().data()),
                              mapped->bytes().size());
  return take_json_lines(text, path.filename().string(), take);
}

double number_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : std::nan("");
}

std::optional<uint64_t> whole_number(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (!value.is_number_unsigned() && value.get<int64_t>() < 0) return std::nullopt;
  const auto count = value.get<uint64_t>();
  if (count > kMaxCount) return std::nullopt;
  return count;
}

uint64_t count_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() ? whole_number(*found).value_or(0) : 0;
}

std::string text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace llava::train_report
