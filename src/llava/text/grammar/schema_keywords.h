// SPDX-License-Identifier: Apache-2.0
//
// One object of a JSON schema: its keywords by kind, and typed access whose errors name the keyword
// and its place.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"
#include "llava/text/grammar/number_range.h"

namespace llava::text::grammar {

/// Threads: as the JSON it refers to, which must outlive it.
class SchemaObject {
 public:
  /// `place` is the JSON pointer of the object within the schema, with a leading '#'.
  ///
  /// Throws: Error(kInvalidArgument) for a value that is no object and keywords that are refused.
  SchemaObject(const OrderedJson& value, std::string place, bool is_strict);

  const std::string& place() const noexcept { return place_; }
  bool is_strict() const noexcept { return is_strict_; }
  /// The keyword's value, or null.
  const OrderedJson* find(std::string_view keyword) const;
  bool has_any(std::initializer_list<std::string_view> keywords) const;

  /// A count from 0 to kMaxGrammarStates.
  std::optional<int32_t> count(std::string_view keyword) const;
  std::optional<std::string> string(std::string_view keyword) const;
  std::vector<std::string> strings(std::string_view keyword) const;
  /// `type` as a list; empty when absent.
  std::vector<std::string> types() const;
  std::optional<NumberBound> lower_bound() const;
  std::optional<NumberBound> upper_bound() const;

  /// Throws unless all keywords besides those that only describe are in the list.
  void allow_only(std::initializer_list<std::string_view> keywords) const;
  /// Throws Error(kInvalidArgument): "invalid schema: keyword '<keyword>' at <place> <reason>".
  [[noreturn]] void refuse(std::string_view keyword, std::string_view reason) const;

 private:
  std::optional<double> number(std::string_view keyword) const;

  const OrderedJson* value_;
  std::string place_;
  bool is_strict_;
};

}  // namespace llava::text::grammar
