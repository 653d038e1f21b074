// SPDX-License-Identifier: Apache-2.0
//
// Values by type: numbers, strings, lists and objects.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/text/grammar/number_range.h"
#include "llava/text/grammar/regular_expression.h"
#include "llava/text/grammar/schema_compiler.h"

namespace llava::text::grammar {
namespace {

/// Integers of 18 digits fit every reader.
constexpr int64_t kLargestInteger = 999'999'999'999'999'999;

constexpr const char* kDate =
    "[12]\\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|"
    "02-(?:0[1-9]|1\\d|2[0-8]))";
constexpr const char* kTime =
    "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";

/// The expression of a format; nothing for those that are not supported.
std::optional<std::string> format_pattern(std::string_view format) {
  if (format == "date") return kDate;
  if (format == "time") return kTime;
  if (format == "date-time") return std::string(kDate) + "T" + kTime;
  if (format == "uuid") return "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
  if (format == "ipv4") {
    const std::string byte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
    return byte + "(?:\\." + byte + "){3}";
  }
  return std::nullopt;
}

}  // namespace

Expression SchemaCompiler::convert_integer(const SchemaObject& schema) {
  const auto low = schema.lower_bound();
  const auto high = schema.upper_bound();
  if (!low && !high) return json_.integer();
  const auto to_integer = [](double value) {
    constexpr double kLimit = static_cast<double>(kLargestInteger);
    return static_cast<int64_t>(std::clamp(value, -kLimit, kLimit));
  };
  int64_t min = -kLargestInteger;
  int64_t max = kLargestInteger;
  if (low) {
    min = to_integer(std::ceil(low->value));
    if (!low->is_included && std::ceil(low->value) == low->value) ++min;
  }
  if (high) {
    max = to_integer(std::floor(high->value));
    if (!high->is_included && std::floor(high->value) == high->value) --max;
  }
  if (min > max) schema.refuse(low ? "minimum" : "maximum", "leaves no integer");
  return integer_range(min, max);
}

Expression SchemaCompiler::convert_number(const SchemaObject& schema) {
  const auto low = schema.lower_bound();
  const auto high = schema.upper_bound();
  if (!low && !high) return json_.number();
  Expression range = number_range(low, high);
  const auto is_empty = [](const Expression& e) {
    return e.kind == Expression::Kind::kChoice && e.parts.empty();
  };
  const auto has_nothing = [&](const Expression& way) {
    return is_empty(way) || (way.kind == Expression::Kind::kSequence && is_empty(way.parts.back()));
  };
  if (std::all_of(range.parts.begin(), range.parts.end(), has_nothing)) {
    schema.refuse(low ? "minimum" : "maximum",
                  "leaves no number; ranges need a whole number of at most nine digits inside");
  }
  return range;
}

Expression SchemaCompiler::convert_string(const SchemaObject& schema) {
  const auto min = schema.count("minLength");
  const auto max = schema.count("maxLength");
  const auto pattern = schema.string("pattern");
  const auto format = schema.string("format");
  const auto known_format = format ? format_pattern(*format) : std::nullopt;
  if (format && !known_format && is_strict_) {
    schema.refuse("format", fmt::format("'{}' is not supported", *format));
  }
  if (pattern && known_format) schema.refuse("pattern", "is not supported beside 'format'");
  if (!pattern && !known_format) {
    if (max && min.value_or(0) > *max) schema.refuse("maxLength", "is less than 'minLength'");
    return json_.string(min.value_or(0), max);
  }
  if (min || max) {
    schema.refuse(min ? "minLength" : "maxLength",
                  "is not supported beside 'pattern' or 'format'; say it in the pattern");
  }
  const CharForm form = [&](const std::vector<CharRange>& ranges) { return json_.chars(ranges); };
  Expression content = pattern ? parse_regex(*pattern, RegexScope::kAnyPart, form)
                               : parse_regex(*known_format, RegexScope::kWhole, form);
  return sequence({bytes("\""), std::move(content), bytes("\"")});
}

Expression SchemaCompiler::convert_array(const SchemaObject& schema) {
  const int32_t min = schema.count("minItems").value_or(0);
  const auto max = schema.count("maxItems");
  if (max && min > *max) schema.refuse("maxItems", "is less than 'minItems'");
  const OrderedJson* items = schema.find("items");
  return json_.list_of(items != nullptr ? part(schema, "items", *items) : json_.value(), min, max);
}

Expression SchemaCompiler::convert_object(const SchemaObject& schema) {
  std::vector<std::string> required = schema.strings("required");
  const OrderedJson* additional = schema.find("additionalProperties");
  const bool allows_others =
      additional != nullptr ? *additional != false : !schema.has_any({"properties"});
  const auto other_value = [&] {
    return additional != nullptr ? part(schema, "additionalProperties", *additional)
                                 : json_.value();
  };
  std::vector<Member> members;
  std::vector<std::string> names;
  const auto add = [&](const std::string& name, Expression value) {
    const auto found = std::find(required.begin(), required.end(), name);
    const bool is_required = found != required.end();
    std::erase(required, name);
    std::string key = to_text(Json(name));
    key = key.substr(1, key.size() - 2);
    names.push_back(name);
    members.push_back(
        {syntax_.add(fmt::format("member '{}'", name), json_.member(bytes(key), std::move(value))),
         is_required});
  };
  if (const OrderedJson* properties = schema.find("properties")) {
    if (!properties->is_object()) schema.refuse("properties", "is not an object");
    for (const auto& [name, value] : properties->items()) {
      add(name, part(schema, "properties/" + name, value));
    }
  }
  while (!required.empty()) {
    if (additional != nullptr && *additional == false) {
      schema.refuse("required",
                    fmt::format("names '{}', which 'properties' lacks", required.front()));
    }
    add(std::string(required.front()), other_value());
  }
  std::optional<Expression> other;
  if (allows_others) {
    const Expression key =
        names.empty() ? repeat(json_.any_char(), 0, std::nullopt) : json_.other_than(names);
    other = call(syntax_.add("other member", json_.member(key, other_value())));
  }
  if (members.empty() && other) return json_.object_of(std::move(*other));
  return members_in_order(members, other);
}

// Two rules for each place between members: what may follow when none was written yet, and when
// the next needs a comma.
Expression SchemaCompiler::members_in_order(const std::vector<Member>& members,
                                            const std::optional<Expression>& other) {
  const Expression comma = sequence({json_.blanks(), bytes(","), json_.blanks()});
  const Expression end = sequence({json_.blanks(), bytes("}")});
  std::vector<Expression> last{end};
  std::vector<Expression> first{bytes("}")};
  if (other) {
    const Expression more = repeat(sequence({comma, *other}), 0, std::nullopt);
    last = {sequence({more, end})};
    first.push_back(sequence({*other, more, end}));
  }
  int32_t behind_others = syntax_.add("end of object", choice(std::move(last)));
  int32_t at_beginning = syntax_.add("object without members", choice(std::move(first)));
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    std::vector<Expression> behind{sequence({comma, call(member->rule), call(behind_others)})};
    std::vector<Expression> beginning{sequence({call(member->rule), call(behind_others)})};
    if (!member->is_required) {
      behind.push_back(call(behind_others));
      beginning.push_back(call(at_beginning));
    }
    behind_others = syntax_.add("further members", choice(std::move(behind)));
    at_beginning = syntax_.add("members", choice(std::move(beginning)));
  }
  return sequence({bytes("{"), json_.blanks(), call(at_beginning)});
}

}  // namespace llava::text::grammar
