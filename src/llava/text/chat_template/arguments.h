// SPDX-License-Identifier: Apache-2.0
//
// The arguments of a call, filter or test, bound to parameters as Python binds them.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/text/chat_template/value.h"

namespace llava::text::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keywords;
};

/// The value of each parameter, absent where none was given.
///
/// Throws: Error(kInvalidArgument) for too many, unknown or repeated arguments.
std::vector<std::optional<Value>> bind(std::string_view function, const Arguments& arguments,
                                       std::initializer_list<std::string_view> parameters);

/// A whole number that a function needs.
///
/// Throws: Error(kInvalidArgument) naming the function for another type.
int64_t require_int(std::string_view function, const Value& value);
/// Likewise for a string.
const std::string& require_string(std::string_view function, const Value& value);

}  // namespace llava::text::jinja
