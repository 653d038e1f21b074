// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/arguments.h"

#include <algorithm>

#include "llava/core/error.h"
#include "llava/text/chat_template/operations.h"

namespace llava::text::jinja {

std::vector<std::optional<Value>> bind(std::string_view function, const Arguments& arguments,
                                       std::initializer_list<std::string_view> parameters) {
  if (arguments.positional.size() > parameters.size()) {
    fail(ErrorCode::kInvalidArgument, "{}() takes at most {} arguments, found {}", function,
         parameters.size(), arguments.positional.size());
  }
  std::vector<std::optional<Value>> bound(parameters.size());
  std::copy(arguments.positional.begin(), arguments.positional.end(), bound.begin());
  for (const auto& [name, value] : arguments.keywords) {
    const auto found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) {
      fail(ErrorCode::kInvalidArgument, "{}() got an unexpected keyword argument '{}'", function,
           name);
    }
    std::optional<Value>& slot = bound[static_cast<size_t>(found - parameters.begin())];
    if (slot) {
      fail(ErrorCode::kInvalidArgument, "{}() got multiple values for argument '{}'", function,
           name);
    }
    slot = value;
  }
  return bound;
}

int64_t require_int(std::string_view function, const Value& value) {
  require_defined(value);
  if (!value.is_integral()) {
    fail(ErrorCode::kInvalidArgument, "{}(): '{}' object cannot be interpreted as an integer",
         function, type_name(value));
  }
  return value.as_int();
}

const std::string& require_string(std::string_view function, const Value& value) {
  require_defined(value);
  if (!value.is_string()) {
    fail(ErrorCode::kInvalidArgument, "{}() argument must be str, not {}", function,
         type_name(value));
  }
  return value.as_string();
}

}  // namespace llava::text::jinja
