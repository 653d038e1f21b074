// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/functions.h"

#include <algorithm>
#include <array>

#include "llava/text/chat_template/operations.h"
#include "llava/text/chat_template/text_form.h"

namespace llava::text::jinja {
namespace {

constexpr std::array<std::string_view, 8> kFunctions = {
    "cycler", "dict", "joiner", "lipsum", "namespace", "raise_exception", "range", "strftime_now"};

// The published sandbox's limit.
constexpr int64_t kMaxRange = 100000;

Value make_range(Budget& budget, const Arguments& arguments) {
  if (!arguments.keywords.empty() || arguments.positional.empty() ||
      arguments.positional.size() > 3) {
    fail(ErrorCode::kInvalidArgument, "range() takes one to three arguments");
  }
  std::vector<int64_t> numbers;
  for (const Value& value : arguments.positional) numbers.push_back(require_int("range", value));
  const int64_t start = numbers.size() == 1 ? 0 : numbers[0];
  const int64_t stop = numbers.size() == 1 ? numbers[0] : numbers[1];
  const int64_t step = numbers.size() == 3 ? numbers[2] : 1;
  if (step == 0) fail(ErrorCode::kInvalidArgument, "range() arg 3 must not be zero");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) {
      fail(ErrorCode::kBadFormat, "range() has more than {} items", kMaxRange);
    }
    budget.step();
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return budget.sequence(Kind::kRange, std::move(items));
}

// The entries of dict(mapping, name=value, ...), also namespace's.
std::vector<std::pair<Value, Value>> entries(const std::string& name, const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> items;
  if (arguments.positional.size() > 1) {
    fail(ErrorCode::kInvalidArgument, "{}() takes at most one positional argument", name);
  }
  if (!arguments.positional.empty()) {
    if (!arguments.positional[0].is(Kind::kDict)) {
      fail(ErrorCode::kUnsupported, "{}() of a {} is not supported", name,
           type_name(arguments.positional[0]));
    }
    items = arguments.positional[0].as_dict().items;
  }
  for (const auto& [key, value] : arguments.keywords) {
    set_entry(items, Value::string(key), value);
  }
  return items;
}

Value make_namespace(const Arguments& arguments) {
  std::vector<std::pair<std::string, Value>> attributes;
  for (auto& [key, value] : entries("namespace", arguments)) {
    attributes.emplace_back(require_string("namespace", key), value);
  }
  return Value::name_space(std::move(attributes));
}

constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};

// One directive of strftime in the C locale; `is_short` drops the leading zero ("%-d").
std::string directive(char letter, bool is_short, const std::tm& now) {
  const auto number = [&](int value, int width) {
    return is_short ? std::to_string(value) : fmt::format("{:0{}d}", value, width);
  };
  const std::string_view month = kMonths[static_cast<size_t>(std::clamp(now.tm_mon, 0, 11))];
  const std::string_view day = kDays[static_cast<size_t>(std::clamp(now.tm_wday, 0, 6))];
  const int hour = now.tm_hour % 12 == 0 ? 12 : now.tm_hour % 12;
  switch (letter) {
    case 'Y':
      return number(now.tm_year + 1900, 4);
    case 'y':
      return number((now.tm_year + 1900) % 100, 2);
    case 'm':
      return number(now.tm_mon + 1, 2);
    case 'd':
      return number(now.tm_mday, 2);
    case 'H':
      return number(now.tm_hour, 2);
    case 'I':
      return number(hour, 2);
    case 'M':
      return number(now.tm_min, 2);
    case 'S':
      return number(now.tm_sec, 2);
    case 'j':
      return number(now.tm_yday + 1, 3);
    default:
      break;
  }
  if (is_short) fail(ErrorCode::kUnsupported, "time format '%-{}' is not supported", letter);
  switch (letter) {
    case 'B':
      return std::string(month);
    case 'b':
      return std::string(month.substr(0, 3));
    case 'A':
      return std::string(day);
    case 'a':
      return std::string(day.substr(0, 3));
    case 'p':
      return now.tm_hour < 12 ? "AM" : "PM";
    case '%':
      return "%";
    default:
      fail(ErrorCode::kUnsupported, "time format '%{}' is not supported", letter);
  }
}

Value format_time(Budget& budget, const std::string& format, const std::tm& now) {
  std::string out;
  budget.charge(format.size() * 16);
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      out += format[i];
      continue;
    }
    const bool is_short = i + 1 < format.size() && format[i + 1] == '-';
    i += is_short ? 2 : 1;
    if (i >= format.size()) {
      fail(ErrorCode::kUnsupported, "time format '{}' ends in a directive", format);
    }
    out += directive(format[i], is_short, now);
  }
  return Value::string(std::move(out));
}

Value one_argument(const std::string& name, const Arguments& arguments) {
  const auto bound = bind(name, arguments, {name == "strftime_now" ? "format" : "message"});
  if (!bound[0]) fail(ErrorCode::kInvalidArgument, "{}() needs an argument", name);
  return *bound[0];
}

}  // namespace

bool is_function(std::string_view name) {
  return std::find(kFunctions.begin(), kFunctions.end(), name) != kFunctions.end();
}

Value call_function(Budget& budget, const std::string& name, const Arguments& arguments,
                    const std::tm& now) {
  budget.step();
  if (name == "range") return make_range(budget, arguments);
  if (name == "dict") return Value::dict(entries(name, arguments));
  if (name == "namespace") return make_namespace(arguments);
  if (name == "strftime_now") {
    return format_time(budget, require_string(name, one_argument(name, arguments)), now);
  }
  if (name == "raise_exception") {
    fail(ErrorCode::kInvalidArgument, "{}", to_str(budget, one_argument(name, arguments)));
  }
  fail(ErrorCode::kUnsupported, "function '{}' is not supported", name);
}

}  // namespace llava::text::jinja
