// SPDX-License-Identifier: Apache-2.0
//
// The methods of str.
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <functional>

#include "llava/text/chat_template/methods.h"
#include "llava/text/chat_template/operations.h"
#include "llava/text/chat_template/string_methods.h"
#include "llava/text/python_text.h"

namespace llava::text::jinja {
namespace {

bool is_cased(char32_t c) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

Value stripped(const std::string& name, const std::string& text, const Arguments& arguments) {
  const StripSide side = name == "lstrip"   ? StripSide::kLeft
                         : name == "rstrip" ? StripSide::kRight
                                            : StripSide::kBoth;
  const auto bound = bind(name, arguments, {"chars"});
  if (!bound[0] || bound[0]->is(Kind::kNone))
    return Value::string(std::string(strip_space(text, side)));
  return Value::string(std::string(strip_characters(text, require_string(name, *bound[0]), side)));
}

std::vector<std::string_view> split_space(std::string_view text, int64_t max_splits,
                                          bool from_right) {
  std::vector<std::string_view> parts;
  const StripSide near = from_right ? StripSide::kRight : StripSide::kLeft;
  text = strip_space(text, near);
  while (!text.empty()) {
    if (max_splits >= 0 && static_cast<int64_t>(parts.size()) == max_splits) {
      parts.push_back(text);
      break;
    }
    // The word at this end, up to the nearest space.
    size_t begin = 0;
    size_t end = text.size();
    for (size_t offset = 0; offset < text.size();) {
      const size_t at = offset;
      if (!is_python_space(next_code_point(text, offset))) continue;
      if (!from_right) {
        end = at;
        break;
      }
      begin = offset;
    }
    parts.push_back(text.substr(begin, end - begin));
    text = strip_space(from_right ? text.substr(0, begin) : text.substr(end), near);
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                       int64_t max_splits, bool from_right) {
  std::vector<std::string_view> parts;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == std::string_view::npos) break;
    const size_t after = at + separator.size();
    parts.push_back(from_right ? text.substr(after) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(after);
  }
  parts.push_back(text);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

Value list_of(Budget& budget, const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  for (const std::string_view part : parts) {
    budget.step();
    items.push_back(budget.text(std::string(part)));
  }
  return budget.sequence(Kind::kList, std::move(items));
}

Value split(Budget& budget, const std::string& name, const std::string& text,
            const Arguments& arguments) {
  const auto bound = bind(name, arguments, {"sep", "maxsplit"});
  const int64_t max_splits = bound[1] ? require_int(name, *bound[1]) : -1;
  const bool from_right = name == "rsplit";
  budget.step(static_cast<int64_t>(text.size()));
  if (!bound[0] || bound[0]->is(Kind::kNone)) {
    // From the right each word is found by walking over the whole rest.
    if (from_right && max_splits >= 0) {
      budget.step(std::min<int64_t>(max_splits, static_cast<int64_t>(text.size())) *
                  static_cast<int64_t>(text.size()) / 64);
    }
    if (max_splits < 0) return list_of(budget, split_space(text, -1, false));
    return list_of(budget, split_space(text, max_splits, from_right));
  }
  const std::string& separator = require_string(name, *bound[0]);
  if (separator.empty()) fail(ErrorCode::kInvalidArgument, "empty separator");
  return list_of(budget, split_at(text, separator, max_splits, from_right));
}

bool has_affix(const std::string& name, const std::string& text, const Value& affix) {
  const auto matches = [&](const Value& one) {
    const std::string& part = require_string(name, one);
    return name == "startswith" ? text.starts_with(part) : text.ends_with(part);
  };
  if (!affix.is(Kind::kTuple)) return matches(affix);
  return std::any_of(affix.items().begin(), affix.items().end(), matches);
}

Value find(const std::string& name, const std::string& text, const Arguments& arguments) {
  const std::string& part = require_string(name, *bind(name, arguments, {"sub"})[0]);
  const bool from_right = name[0] == 'r';
  const size_t at = from_right ? text.rfind(part) : text.find(part);
  if (at == std::string::npos) {
    if (name.ends_with("index")) fail(ErrorCode::kInvalidArgument, "substring not found");
    return Value::integer(-1);
  }
  return Value::integer(
      static_cast<int64_t>(count_code_points(std::string_view(text).substr(0, at))));
}

int64_t count(const std::string& text, const std::string& part) {
  if (part.empty()) return static_cast<int64_t>(count_code_points(text)) + 1;
  int64_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + part.size())) {
    ++found;
  }
  return found;
}

Value join(Budget& budget, const std::string& separator, const Value& values) {
  std::string out;
  bool is_first = true;
  for (const Value& item : iterate(budget, values)) {
    if (!item.is_string()) {
      fail(ErrorCode::kInvalidArgument, "join(): expected str instance, {} found", type_name(item));
    }
    budget.charge(separator.size() + item.as_string().size());
    if (!is_first) out += separator;
    is_first = false;
    out += item.as_string();
  }
  return Value::string(std::move(out));
}

Value partition(const std::string& name, const std::string& text, const std::string& separator) {
  if (separator.empty()) fail(ErrorCode::kInvalidArgument, "empty separator");
  const bool from_right = name[0] == 'r';
  const size_t at = from_right ? text.rfind(separator) : text.find(separator);
  const auto tuple = [](std::string a, std::string b, std::string c) {
    return Value::sequence(Kind::kTuple, {Value::string(std::move(a)), Value::string(std::move(b)),
                                          Value::string(std::move(c))});
  };
  if (at == std::string::npos) return from_right ? tuple("", "", text) : tuple(text, "", "");
  return tuple(text.substr(0, at), separator, text.substr(at + separator.size()));
}

// str.isdigit() and its like, which Unicode makes hard and templates use on ASCII.
bool is_all(const std::string& name, const std::string& text) {
  if (name == "isspace") return !text.empty() && strip_space(text).empty();
  const auto is_in = [&](char c) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      fail(ErrorCode::kUnsupported, "{}() of text that is not ASCII is not supported", name);
    }
    const bool is_digit = c >= '0' && c <= '9';
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return name == "isdigit" ? is_digit : name == "isalpha" ? is_letter : is_digit || is_letter;
  };
  return !text.empty() && std::all_of(text.begin(), text.end(), is_in);
}

Value split_lines(Budget& budget, const std::string& text, const Arguments& arguments) {
  const auto bound = bind("splitlines", arguments, {"keepends"});
  const bool keeps_ends = bound[0] && is_true(*bound[0]);
  return list_of(budget, python_lines(text, keeps_ends));
}

}  // namespace

std::string capitalized(std::string_view text) {
  const size_t first = byte_offset_of(text, 1);
  return to_upper(text.substr(0, first)) + to_lower(text.substr(first));
}

bool has_only_case(std::string_view text, bool is_upper) {
  bool has_case = false;
  for (size_t offset = 0; offset < text.size();) {
    const char32_t c = next_code_point(text, offset);
    if (!is_cased(c)) continue;
    const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
    if (category != (is_upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL)) return false;
    has_case = true;
  }
  return has_case;
}

Value replaced(Budget& budget, const std::string& text, const std::string& from,
               const std::string& to, int64_t max_count) {
  const auto limit = static_cast<size_t>(max_count < 0 ? count(text, from) : max_count);
  const size_t hits = std::min(limit, static_cast<size_t>(count(text, from)));
  if (hits != 0 && to.size() > std::numeric_limits<size_t>::max() / hits / 2) {
    fail(ErrorCode::kBadFormat, "the template makes too much text");
  }
  budget.charge(text.size() + hits * to.size());
  if (!from.empty()) return Value::string(replace_text(text, from, to, limit));
  // An empty text stands before every character and at the end.
  std::string out;
  size_t offset = 0;
  for (size_t i = 0; i < hits; ++i) {
    out += to;
    const size_t begin = offset;
    if (offset < text.size()) next_code_point(text, offset);
    out += text.substr(begin, offset - begin);
  }
  return Value::string(out + text.substr(offset));
}

Value call_string_method(Budget& budget, const Method& method, const Arguments& arguments) {
  const std::string& name = method.name;
  const std::string& text = method.object.as_string();
  budget.charge(text.size());
  const auto no_arguments = [&] { bind(name, arguments, {}); };
  const auto one = [&](std::string_view parameter) -> Value {
    const auto bound = bind(name, arguments, {parameter});
    if (!bound[0]) fail(ErrorCode::kInvalidArgument, "{}() needs an argument", name);
    return *bound[0];
  };
  if (name == "upper" || name == "lower" || name == "title" || name == "capitalize") {
    no_arguments();
    return Value::string(name == "upper"   ? to_upper(text)
                         : name == "lower" ? to_lower(text)
                         : name == "title" ? capitalize_words(text, is_cased)
                                           : capitalized(text));
  }
  if (name == "strip" || name == "lstrip" || name == "rstrip")
    return stripped(name, text, arguments);
  if (name == "split" || name == "rsplit") return split(budget, name, text, arguments);
  if (name == "splitlines") return split_lines(budget, text, arguments);
  if (name == "startswith" || name == "endswith") {
    return Value::boolean(has_affix(name, text, one("prefix")));
  }
  if (name == "replace") {
    const auto bound = bind(name, arguments, {"old", "new", "count"});
    if (!bound[0] || !bound[1]) fail(ErrorCode::kInvalidArgument, "replace() needs two arguments");
    return replaced(budget, text, require_string(name, *bound[0]), require_string(name, *bound[1]),
                    bound[2] ? require_int(name, *bound[2]) : -1);
  }
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex") {
    one("sub");
    return find(name, text, arguments);
  }
  if (name == "count") return Value::integer(count(text, require_string(name, one("sub"))));
  if (name == "join") return join(budget, text, one("iterable"));
  if (name == "removeprefix" || name == "removesuffix") {
    const std::string affix = require_string(name, one("affix"));
    if (name == "removeprefix") {
      return Value::string(text.starts_with(affix) ? text.substr(affix.size()) : text);
    }
    return Value::string(text.ends_with(affix) ? text.substr(0, text.size() - affix.size()) : text);
  }
  if (name == "partition" || name == "rpartition") {
    return partition(name, text, require_string(name, one("sep")));
  }
  no_arguments();
  if (name == "isupper" || name == "islower") {
    return Value::boolean(has_only_case(text, name == "isupper"));
  }
  return Value::boolean(is_all(name, text));
}

}  // namespace llava::text::jinja
