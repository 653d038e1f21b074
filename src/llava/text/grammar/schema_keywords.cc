// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/schema_keywords.h"

#include <algorithm>
#include <array>
#include <utility>

#include "llava/core/error.h"
#include "llava/text/grammar/automaton.h"

namespace llava::text::grammar {
namespace {

using Names = std::initializer_list<std::string_view>;

bool is_one_of(std::string_view name, Names names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool only_describes(std::string_view keyword) {
  return is_one_of(keyword, {"$schema", "$id", "$anchor", "$comment", "$defs", "definitions",
                             "title", "description", "default", "example", "examples", "deprecated",
                             "readOnly", "writeOnly", "contentEncoding", "contentMediaType"});
}

bool is_supported(std::string_view keyword) {
  return is_one_of(keyword, {"type",
                             "properties",
                             "required",
                             "additionalProperties",
                             "items",
                             "minItems",
                             "maxItems",
                             "enum",
                             "const",
                             "anyOf",
                             "oneOf",
                             "allOf",
                             "$ref",
                             "minLength",
                             "maxLength",
                             "pattern",
                             "format",
                             "minimum",
                             "maximum",
                             "exclusiveMinimum",
                             "exclusiveMaximum"});
}

bool is_known(std::string_view keyword) {
  return is_one_of(keyword, {"multipleOf",
                             "uniqueItems",
                             "minProperties",
                             "maxProperties",
                             "patternProperties",
                             "propertyNames",
                             "dependentRequired",
                             "dependentSchemas",
                             "dependencies",
                             "unevaluatedProperties",
                             "unevaluatedItems",
                             "contains",
                             "minContains",
                             "maxContains",
                             "prefixItems",
                             "additionalItems",
                             "not",
                             "if",
                             "then",
                             "else",
                             "$dynamicRef",
                             "$dynamicAnchor",
                             "$recursiveRef",
                             "$recursiveAnchor",
                             "contentSchema"});
}

}  // namespace

SchemaObject::SchemaObject(const OrderedJson& value, std::string place, bool is_strict)
    : value_(&value), place_(std::move(place)), is_strict_(is_strict) {
  if (!value.is_object()) {
    fail(ErrorCode::kInvalidArgument,
         "invalid schema: {} is a value of type {}, expected an object or a truth value", place_,
         value.type_name());
  }
  for (const auto& [keyword, content] : value.items()) {
    if (only_describes(keyword) || is_supported(keyword)) continue;
    if (keyword == "uniqueItems" && content == false) continue;
    if (is_known(keyword)) refuse(keyword, "is not supported");
    if (is_strict) refuse(keyword, "is not known");
  }
}

void SchemaObject::refuse(std::string_view keyword, std::string_view reason) const {
  fail(ErrorCode::kInvalidArgument, "invalid schema: keyword '{}' at {} {}", keyword, place_,
       reason);
}

const OrderedJson* SchemaObject::find(std::string_view keyword) const {
  const auto found = value_->find(std::string(keyword));
  return found == value_->end() ? nullptr : &*found;
}

bool SchemaObject::has_any(Names keywords) const {
  return std::any_of(keywords.begin(), keywords.end(),
                     [&](std::string_view keyword) { return find(keyword) != nullptr; });
}

void SchemaObject::allow_only(Names keywords) const {
  for (const auto& [keyword, content] : value_->items()) {
    if (is_supported(keyword) && !is_one_of(keyword, keywords)) {
      refuse(keyword, fmt::format("is not supported beside '{}'", *keywords.begin()));
    }
  }
}

std::optional<int32_t> SchemaObject::count(std::string_view keyword) const {
  const OrderedJson* found = find(keyword);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number_integer() || *found < 0) refuse(keyword, "is not a count");
  if (*found > kMaxGrammarStates) {
    refuse(keyword, fmt::format("is larger than {}", kMaxGrammarStates));
  }
  return found->get<int32_t>();
}

std::optional<std::string> SchemaObject::string(std::string_view keyword) const {
  const OrderedJson* found = find(keyword);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) refuse(keyword, "is not a string");
  return found->get<std::string>();
}

std::vector<std::string> SchemaObject::strings(std::string_view keyword) const {
  const OrderedJson* found = find(keyword);
  if (found == nullptr) return {};
  const bool holds =
      found->is_array() && std::all_of(found->begin(), found->end(),
                                       [](const OrderedJson& item) { return item.is_string(); });
  if (!holds) refuse(keyword, "is not a list of strings");
  return found->get<std::vector<std::string>>();
}

std::vector<std::string> SchemaObject::types() const {
  const OrderedJson* found = find("type");
  if (found == nullptr) return {};
  const std::vector<std::string> types =
      found->is_string() ? std::vector{found->get<std::string>()} : strings("type");
  if (types.empty()) refuse("type", "is an empty list");
  for (const std::string& type : types) {
    if (!is_one_of(type, {"null", "boolean", "integer", "number", "string", "array", "object"})) {
      refuse("type", fmt::format("has the unknown type '{}'", type));
    }
  }
  return types;
}

std::optional<double> SchemaObject::number(std::string_view keyword) const {
  const OrderedJson* found = find(keyword);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number()) refuse(keyword, "is not a number");
  return found->get<double>();
}

std::optional<NumberBound> SchemaObject::lower_bound() const {
  const auto included = number("minimum");
  const auto excluded = number("exclusiveMinimum");
  if (excluded && (!included || *excluded >= *included)) return NumberBound{*excluded, false};
  if (included) return NumberBound{*included, true};
  return std::nullopt;
}

std::optional<NumberBound> SchemaObject::upper_bound() const {
  const auto included = number("maximum");
  const auto excluded = number("exclusiveMaximum");
  if (excluded && (!included || *excluded <= *included)) return NumberBound{*excluded, false};
  if (included) return NumberBound{*included, true};
  return std::nullopt;
}

}  // namespace llava::text::grammar
