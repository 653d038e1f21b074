// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/json_schema.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/grammar/gbnf.h"
#include "llava/text/grammar/schema_compiler.h"

namespace llava::text::grammar {
namespace {

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

// The standard lets keywords pass values of other types; those are left out.
std::vector<std::string> implied_types(const SchemaObject& schema) {
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

}  // namespace

Syntax SchemaCompiler::compile() {
  syntax_.root = rule_at("#", root_);
  while (!pending_.empty()) {
    const Pending next = std::move(pending_.back());
    pending_.pop_back();
    Expression content = convert(*next.schema, next.place);
    syntax_.rules[static_cast<std::size_t>(next.rule)].expression = std::move(content);
  }
  return std::move(syntax_);
}

// The rule of a schema, converted later: schemas may hold themselves. The place is for messages.
int32_t SchemaCompiler::rule_at(const std::string& place, const OrderedJson& schema) {
  const auto [found, is_new] = rules_.try_emplace(&schema, 0);
  if (is_new) {
    found->second = syntax_.add("schema " + place);
    pending_.push_back({found->second, &schema, place});
  }
  return found->second;
}

Expression SchemaCompiler::part(const SchemaObject& schema, const std::string& path,
                                const OrderedJson& value) {
  return call(rule_at(schema.place() + "/" + path, value));
}

Expression SchemaCompiler::convert(const OrderedJson& value, const std::string& place) {
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

Expression SchemaCompiler::convert_type(const SchemaObject& schema, const std::string& type) {
  if (type == "null") return bytes("null");
  if (type == "boolean") return choice({bytes("true"), bytes("false")});
  if (type == "integer") return convert_integer(schema);
  if (type == "number") return convert_number(schema);
  if (type == "string") return convert_string(schema);
  if (type == "array") return convert_array(schema);
  return convert_object(schema);
}

const OrderedJson& SchemaCompiler::resolve(const SchemaObject& schema,
                                           const std::string& reference) const {
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

Expression SchemaCompiler::convert_literals(const SchemaObject& schema) {
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

Expression SchemaCompiler::convert_combination(const SchemaObject& schema) {
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
void SchemaCompiler::require_different_types(const SchemaObject& schema,
                                             const OrderedJson& list) const {
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
