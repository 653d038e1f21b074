// SPDX-License-Identifier: Apache-2.0
//
// Values as text: Python's str() and repr(), and the tojson filter of the published library.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "llava/text/chat_template/budget.h"

namespace llava::text::jinja {

/// Python's str(): what printing a value gives.
///
/// Throws: Error(kUnsupported) for values whose text is an address or a class.
std::string to_str(Budget& budget, const Value& value);

/// Python's repr() of a string.
std::string string_repr(std::string_view text);

/// Python's repr() of a float.
std::string float_repr(double value);

struct JsonStyle {
  bool is_ascii = false;
  bool has_sorted_keys = false;
  /// What one level of indentation is; absent: all on one line.
  std::optional<std::string> indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

/// Python's json.dumps().
///
/// Throws: Error(kInvalidArgument) for a value that JSON has no form for.
std::string to_json(Budget& budget, const Value& value, const JsonStyle& style);

}  // namespace llava::text::jinja
