// SPDX-License-Identifier: Apache-2.0
//
// The parts of the conversion from a JSON schema to a grammar; json_schema.h is its front.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/text/grammar/json_text.h"
#include "llava/text/grammar/schema_keywords.h"
#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// Converts one schema, once.
class SchemaCompiler {
 public:
  /// Keeps a reference to the schema.
  SchemaCompiler(const OrderedJson& root, bool is_strict)
      : root_(root), is_strict_(is_strict), json_(syntax_) {}

  /// Throws: Error(kInvalidArgument), see parse_json_schema.
  Syntax compile();

 private:
  struct Pending {
    int32_t rule;
    const OrderedJson* schema;
    std::string place;
  };
  struct Member {
    int32_t rule = 0;
    bool is_required = false;
  };

  // json_schema.cc
  int32_t rule_at(const std::string& place, const OrderedJson& schema);
  Expression part(const SchemaObject& schema, const std::string& path, const OrderedJson& value);
  Expression convert(const OrderedJson& value, const std::string& place);
  Expression convert_type(const SchemaObject& schema, const std::string& type);
  const OrderedJson& resolve(const SchemaObject& schema, const std::string& reference) const;
  Expression convert_literals(const SchemaObject& schema);
  Expression convert_combination(const SchemaObject& schema);
  void require_different_types(const SchemaObject& schema, const OrderedJson& list) const;
  // schema_values.cc
  Expression convert_integer(const SchemaObject& schema);
  Expression convert_number(const SchemaObject& schema);
  Expression convert_string(const SchemaObject& schema);
  Expression convert_array(const SchemaObject& schema);
  Expression convert_object(const SchemaObject& schema);
  Expression members_in_order(const std::vector<Member>& members,
                              const std::optional<Expression>& other);

  const OrderedJson& root_;
  bool is_strict_;
  Syntax syntax_;
  JsonText json_;
  std::map<const OrderedJson*, int32_t> rules_;
  std::vector<Pending> pending_;
};

}  // namespace llava::text::grammar
