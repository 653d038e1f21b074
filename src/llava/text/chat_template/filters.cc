// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/filters.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "llava/text/chat_template/literals.h"
#include "llava/text/chat_template/methods.h"
#include "llava/text/chat_template/operations.h"
#include "llava/text/chat_template/text_form.h"
#include "llava/text/python_text.h"

namespace llava::text::jinja {
namespace {

Value trim(Budget& budget, const Value& value, const Arguments& arguments) {
  const auto bound = bind("trim", arguments, {"chars"});
  const std::string text = to_str(budget, value);
  if (!bound[0] || bound[0]->is(Kind::kNone)) return budget.text(std::string(strip_space(text)));
  return budget.text(
      std::string(strip_characters(text, require_string("trim", *bound[0]), StripSide::kBoth)));
}

Value replace(Budget& budget, const Value& value, const Arguments& arguments) {
  const auto bound = bind("replace", arguments, {"old", "new", "count"});
  if (!bound[0] || !bound[1]) fail(ErrorCode::kInvalidArgument, "replace needs two arguments");
  const bool has_count = bound[2] && !bound[2]->is(Kind::kNone);
  return replaced(budget, to_str(budget, value), to_str(budget, *bound[0]),
                  to_str(budget, *bound[1]), has_count ? require_int("replace", *bound[2]) : -1);
}

Value default_value(const Value& value, const Arguments& arguments) {
  const auto bound = bind("default", arguments, {"default_value", "boolean"});
  const bool is_boolean = bound[1] && is_true(*bound[1]);
  const bool is_missing = value.is_undefined() || (is_boolean && !is_true(value));
  return is_missing ? bound[0].value_or(Value::string("")) : value;
}

// The filter, which is not str.title(): words begin after white space, '-', '(', '{', '[', '<'.
bool continues_title_word(char32_t c) {
  return !is_python_space(c) && c != '-' && c != '(' && c != '{' && c != '[' && c != '<';
}

// int(double), which Python does for any size.
int64_t truncated(double value) {
  if (std::isinf(value)) {
    fail(ErrorCode::kInvalidArgument, "cannot convert float infinity to integer");
  }
  if (std::abs(value) >= 9.2e18) {
    fail(ErrorCode::kUnsupported, "an integer beyond 64 bits is not supported");
  }
  return static_cast<int64_t>(value);
}

Value to_int(const Value& value, const Arguments& arguments) {
  const auto bound = bind("int", arguments, {"default", "base"});
  const Value fallback = bound[0].value_or(Value::integer(0));
  const int64_t base = bound[1] ? require_int("int", *bound[1]) : 10;
  if (base != 0 && (base < 2 || base > 36)) {
    fail(ErrorCode::kUnsupported, "int with base {} is not supported", base);
  }
  require_defined(value);
  if (value.is_integral()) return Value::integer(value.as_int());
  std::optional<double> number;
  if (value.is(Kind::kFloat)) {
    number = value.as_double();
  } else if (value.is_string()) {
    const auto whole = parse_python_int(value.as_string(), static_cast<int>(base));
    if (whole) return Value::integer(*whole);
    number = parse_python_float(value.as_string());
    if (number && std::isinf(*number)) return fallback;
  }
  if (!number || std::isnan(*number)) return fallback;
  return Value::integer(truncated(*number));
}

Value to_float(const Value& value, const Arguments& arguments) {
  const auto bound = bind("float", arguments, {"default"});
  const Value fallback = bound[0].value_or(Value::real(0));
  require_defined(value);
  if (value.is_number()) return Value::real(value.as_double());
  if (!value.is_string()) return fallback;
  const auto number = parse_python_float(value.as_string());
  return number ? Value::real(*number) : fallback;
}

Value absolute(const Value& value) {
  require_defined(value);
  if (!value.is_number()) {
    fail(ErrorCode::kInvalidArgument, "bad operand type for abs(): '{}'", type_name(value));
  }
  if (value.is(Kind::kFloat)) return Value::real(std::abs(value.as_double()));
  return value.as_int() < 0 ? negated(value) : Value::integer(value.as_int());
}

// Python rounds to the decimal that is nearest to the exact binary value, ties to even; printf does
// the same.
Value round_value(const Value& value, const Arguments& arguments) {
  const auto bound = bind("round", arguments, {"precision", "method"});
  const int64_t precision = bound[0] ? require_int("round", *bound[0]) : 0;
  const std::string method = bound[1] ? require_string("round", *bound[1]) : "common";
  require_defined(value);
  if (method != "common" && method != "ceil" && method != "floor") {
    fail(ErrorCode::kInvalidArgument, "method must be common, ceil or floor");
  }
  if (!value.is_number()) {
    fail(ErrorCode::kInvalidArgument, "type {} doesn't define __round__ method", type_name(value));
  }
  if (precision < 0 || precision > 15) {
    fail(ErrorCode::kUnsupported, "round with precision {} is not supported", precision);
  }
  if (method == "common" && value.is_integral()) return Value::integer(value.as_int());
  const double number = value.as_double();
  if (!std::isfinite(number)) {
    if (method == "common") return Value::real(number);
    fail(ErrorCode::kInvalidArgument, "cannot convert float {} to integer", float_repr(number));
  }
  if (method == "common") {
    return Value::real(*parse_python_float(fmt::format("{:.{}f}", number, precision)));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = number * scale;
  return Value::real((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value indent(Budget& budget, const Value& value, const Arguments& arguments) {
  const auto bound = bind("indent", arguments, {"width", "first", "blank"});
  std::string indentation(4, ' ');
  if (bound[0] && bound[0]->is_string()) {
    indentation = bound[0]->as_string();
  } else if (bound[0]) {
    const int64_t width = std::max<int64_t>(0, require_int("indent", *bound[0]));
    budget.charge(static_cast<size_t>(width));
    indentation.assign(static_cast<size_t>(width), ' ');
  }
  const bool has_blank = bound[2] && is_true(*bound[2]);
  std::string text = require_string("indent", value);
  text += '\n';
  std::string out;
  if (bound[1] && is_true(*bound[1])) out = indentation;
  bool is_first = true;
  for (const std::string_view line : python_lines(text, /*keeps_ends=*/false)) {
    budget.charge(indentation.size() + line.size() + 1);
    if (!is_first) {
      out += '\n';
      if (has_blank || !line.empty()) out += indentation;
    }
    is_first = false;
    out += line;
  }
  return Value::string(std::move(out));
}

Value to_json_text(Budget& budget, const Value& value, const Arguments& arguments) {
  const auto bound =
      bind("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  const auto has = [&](size_t i) { return bound[i] && !bound[i]->is(Kind::kNone); };
  JsonStyle style;
  style.is_ascii = has(0) && is_true(*bound[0]);
  style.has_sorted_keys = has(3) && is_true(*bound[3]);
  if (has(1)) {
    if (bound[1]->is_string()) {
      style.indent = bound[1]->as_string();
    } else {
      const int64_t width = std::clamp<int64_t>(require_int("tojson", *bound[1]), 0, 64);
      style.indent = std::string(static_cast<size_t>(width), ' ');
    }
    style.item_separator.assign(1, ',');
  }
  if (has(2)) {
    const bool is_pair =
        (bound[2]->is(Kind::kTuple) || bound[2]->is(Kind::kList)) && bound[2]->items().size() == 2;
    if (!is_pair) fail(ErrorCode::kInvalidArgument, "separators must be two texts");
    style.item_separator = require_string("tojson", bound[2]->items()[0]);
    style.key_separator = require_string("tojson", bound[2]->items()[1]);
  }
  return Value::string(to_json(budget, value, style));
}

}  // namespace

Value apply_filter(Budget& budget, const std::string& name, const Value& value,
                   const Arguments& arguments) {
  budget.step();
  if (std::optional<Value> result = apply_item_filter(budget, name, value, arguments)) {
    return *std::move(result);
  }
  if (name == "trim") return trim(budget, value, arguments);
  if (name == "replace") return replace(budget, value, arguments);
  if (name == "default" || name == "d") return default_value(value, arguments);
  if (name == "tojson") return to_json_text(budget, value, arguments);
  if (name == "int") return to_int(value, arguments);
  if (name == "float") return to_float(value, arguments);
  if (name == "round") return round_value(value, arguments);
  if (name == "indent") return indent(budget, value, arguments);
  static constexpr std::array<std::string_view, 8> kPlain = {
      "length", "count", "string", "upper", "lower", "capitalize", "title", "abs"};
  if (std::find(kPlain.begin(), kPlain.end(), name) == kPlain.end()) {
    fail(ErrorCode::kUnsupported, "filter '{}' is not supported", name);
  }
  bind(name, arguments, {});
  if (name == "length" || name == "count") return Value::integer(length_of(budget, value));
  if (name == "abs") return absolute(value);
  const std::string text = to_str(budget, value);
  if (name == "upper") return budget.text(to_upper(text));
  if (name == "lower") return budget.text(to_lower(text));
  if (name == "capitalize") return budget.text(capitalized(text));
  if (name == "title") return budget.text(capitalize_words(text, continues_title_word));
  return Value::string(text);
}

}  // namespace llava::text::jinja
