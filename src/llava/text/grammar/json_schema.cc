// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/grammar/gbnf.h"
#include "llava/text/grammar/json_text.h"
#include "llava/text/grammar/number_range.h"
#include "llava/text/grammar/regular_expression.h"
#include "llava/text/grammar/schema_keywords.h"

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

std::string_view type_of(const OrderedJson& value) {
  if (value.is_number_integer()) return "integer";
  if (value.is_number()) return "number";
  return value.type_name();  // the library's names are the standard's
}

bool has_type(const std::vector<std::string>& types, const OrderedJson& value) {
  return std::any_of(types.begin(), types.end(), [&](const std::string& type) {
    return type == type_of(value) || (type == "number" && value.is_number());
  });
}

class SchemaCompiler {
 public:
  SchemaCompiler(const OrderedJson& root, bool is_strict)
      : root_(root), is_strict_(is_strict), json_(syntax_) {}

  Syntax compile() {
    syntax_.root = rule_at("#", root_);
    while (!pending_.empty()) {
      const Pending next = std::move(pending_.back());
      pending_.pop_back();
      Expression content = convert(*next.schema, next.place);
      syntax_.rules[static_cast<std::size_t>(next.rule)].expression = std::move(content);
    }
    return std::move(syntax_);
  }

 private:
  struct Pending {
    int32_t rule;
    const OrderedJson* schema;
    std::string place;
  };

  // The rule of a schema, converted later: schemas may hold themselves. The place is for messages.
  int32_t rule_at(const std::string& place, const OrderedJson& schema) {
    const auto [found, is_new] = rules_.try_emplace(&schema, 0);
    if (is_new) {
      found->second = syntax_.add("schema " + place);
      pending_.push_back({found->second, &schema, place});
    }
    return found->second;
  }

  Expression part(const SchemaObject& schema, const std::string& path, const OrderedJson& value) {
    return call(rule_at(schema.place() + "/" + path, value));
  }

  Expression convert(const OrderedJson& value, const std::string& place) {
    if (value.is_boolean()) return value.get<bool>() ? json_.value() : choice({});
    const SchemaObject schema(value, place, is_strict_);
    if (const auto reference = schema.string("$ref")) {
      schema.allow_only({"$ref"});
      return call(rule_at(*reference, resolve(schema, *reference)));
    }
    if (schema.has_any({"enum", "const"})) return convert_literals(schema);
    if (schema.has_any({"anyOf", "oneOf", "allOf"})) return convert_combination(schema);
    std::vector<std::string> types = schema.types();
    if (types.empty()) types = implied_types(schema);
    if (types.empty()) return json_.value();
    std::vector<Expression> ways;
    for (const std::string& type : types) ways.push_back(convert_type(schema, type));
    return choice(std::move(ways));
  }

  // The standard lets keywords pass values of other types; those are left out.
  static std::vector<std::string> implied_types(const SchemaObject& schema) {
    std::vector<std::string> types;
    if (schema.has_any({"properties", "required", "additionalProperties"})) {
      types.emplace_back("object");
    }
    if (schema.has_any({"items", "minItems", "maxItems"})) types.emplace_back("array");
    if (schema.has_any({"minLength", "maxLength", "pattern", "format"})) {
      types.emplace_back("string");
    }
    if (schema.has_any({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})) {
      types.emplace_back("number");
    }
    return types;
  }

  Expression convert_type(const SchemaObject& schema, const std::string& type) {
    if (type == "null") return bytes("null");
    if (type == "boolean") return choice({bytes("true"), bytes("false")});
    if (type == "integer") return convert_integer(schema);
    if (type == "number") return convert_number(schema);
    if (type == "string") return convert_string(schema);
    if (type == "array") return convert_array(schema);
    return convert_object(schema);
  }

  const OrderedJson& resolve(const SchemaObject& schema, const std::string& reference) const {
    if (!reference.starts_with('#')) {
      schema.refuse("$ref", fmt::format("names '{}'; only places in the schema itself ('#/...') "
                                        "are supported",
                                        reference));
    }
    try {
      return root_.at(OrderedJson::json_pointer(reference.substr(1)));
    } catch (const OrderedJson::exception&) {
      schema.refuse("$ref", fmt::format("names '{}', which is not there", reference));
    }
  }

  Expression convert_literals(const SchemaObject& schema) {
    schema.allow_only({schema.find("enum") != nullptr ? "enum" : "const", "const", "type"});
    std::vector<OrderedJson> values;
    if (const OrderedJson* list = schema.find("enum")) {
      if (!list->is_array()) schema.refuse("enum", "is not a list");
      values.assign(list->begin(), list->end());
    } else {
      values.push_back(*schema.find("const"));
    }
    if (const OrderedJson* constant = schema.find("const")) {
      std::erase_if(values, [&](const OrderedJson& value) { return value != *constant; });
    }
    const std::vector<std::string> types = schema.types();
    std::vector<Expression> ways;
    for (const OrderedJson& value : values) {
      if (types.empty() || has_type(types, value)) ways.push_back(bytes(to_text(value)));
    }
    if (ways.empty()) schema.refuse("enum", "has no value that fits the other keywords");
    return choice(std::move(ways));
  }

  Expression convert_combination(const SchemaObject& schema) {
    const char* keyword = schema.find("anyOf") != nullptr   ? "anyOf"
                          : schema.find("oneOf") != nullptr ? "oneOf"
                                                            : "allOf";
    schema.allow_only({keyword});
    const OrderedJson& list = *schema.find(keyword);
    if (!list.is_array() || list.empty()) schema.refuse(keyword, "is not a list of schemas");
    if (std::string_view(keyword) == "allOf" && list.size() > 1) {
      schema.refuse(keyword, "is supported with a single schema only");
    }
    if (std::string_view(keyword) == "oneOf") require_different_types(schema, list);
    std::vector<Expression> ways;
    for (std::size_t i = 0; i < list.size(); ++i) {
      ways.push_back(part(schema, fmt::format("{}/{}", keyword, i), list[i]));
    }
    return choice(std::move(ways));
  }

  // So that no value fits two alternatives.
  void require_different_types(const SchemaObject& schema, const OrderedJson& list) const {
    std::vector<std::string> seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      std::vector<std::string> types;
      if (list[i].is_object()) {
        const std::string place = fmt::format("{}/oneOf/{}", schema.place(), i);
        types = SchemaObject(list[i], place, is_strict_).types();
      }
      for (std::string& type : types) {
        if (type == "integer") type = "number";
      }
      std::sort(types.begin(), types.end());
      types.erase(std::unique(types.begin(), types.end()), types.end());
      for (const std::string& type : types) {
        if (std::find(seen.begin(), seen.end(), type) != seen.end()) types.clear();
        if (types.empty()) break;
      }
      if (types.empty()) {
        schema.refuse("oneOf",
                      "is supported for alternatives with different 'type' only; "
                      "use 'anyOf'");
      }
      seen.insert(seen.end(), types.begin(), types.end());
    }
  }

  Expression convert_integer(const SchemaObject& schema) {
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

  Expression convert_number(const SchemaObject& schema) {
    const auto low = schema.lower_bound();
    const auto high = schema.upper_bound();
    if (!low && !high) return json_.number();
    Expression range = number_range(low, high);
    const auto is_empty = [](const Expression& e) {
      return e.kind == Expression::Kind::kChoice && e.parts.empty();
    };
    const auto has_nothing = [&](const Expression& way) {
      return is_empty(way) ||
             (way.kind == Expression::Kind::kSequence && is_empty(way.parts.back()));
    };
    if (std::all_of(range.parts.begin(), range.parts.end(), has_nothing)) {
      schema.refuse(low ? "minimum" : "maximum",
                    "leaves no number; ranges need a whole number of at most nine digits inside");
    }
    return range;
  }

  Expression convert_string(const SchemaObject& schema) {
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

  Expression convert_array(const SchemaObject& schema) {
    const int32_t min = schema.count("minItems").value_or(0);
    const auto max = schema.count("maxItems");
    if (max && min > *max) schema.refuse("maxItems", "is less than 'minItems'");
    const OrderedJson* items = schema.find("items");
    return json_.list_of(items != nullptr ? part(schema, "items", *items) : json_.value(), min,
                         max);
  }

  Expression convert_object(const SchemaObject& schema) {
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
      members.push_back({syntax_.add(fmt::format("member '{}'", name),
                                     json_.member(bytes(key), std::move(value))),
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

  struct Member {
    int32_t rule = 0;
    bool is_required = false;
  };

  // Two rules for each place between members: what may follow when none was written yet, and when
  // the next needs a comma.
  Expression members_in_order(const std::vector<Member>& members,
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

  const OrderedJson& root_;
  bool is_strict_;
  Syntax syntax_;
  JsonText json_;
  std::map<const OrderedJson*, int32_t> rules_;
  std::vector<Pending> pending_;
};

}  // namespace

Syntax parse_json_schema(std::string_view text, bool is_strict) {
  if (text.size() > kMaxGrammarBytes) {
    fail(ErrorCode::kInvalidArgument,
         "invalid schema: it has {} bytes, expected at most {}: make it shorter", text.size(),
         kMaxGrammarBytes);
  }
  OrderedJson schema;
  try {
    schema = parse_ordered_json(text, "the schema");
  } catch (const Error& error) {
    fail(ErrorCode::kInvalidArgument, "invalid schema: {}", error.what());
  }
  return SchemaCompiler(schema, is_strict).compile();
}

Syntax json_object_syntax() {
  Syntax syntax;
  JsonText json(syntax);
  const Expression object = json.object();
  syntax.root = object.rule;
  return syntax;
}

}  // namespace llava::text::grammar
