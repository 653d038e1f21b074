// SPDX-License-Identifier: Apache-2.0
//
// The methods of Python's str, list, tuple and dict, and of `loop`, that templates call.
#pragma once

#include "llava/text/chat_template/arguments.h"
#include "llava/text/chat_template/budget.h"

namespace llava::text::jinja {

/// Calls a method that attribute_kind() knows.
///
/// Throws: Error(kInvalidArgument) where Python raises, Error(kUnsupported) for arguments that are
/// not supported.
Value call_method(Budget& budget, const Method& method, const Arguments& arguments);

/// Python's str.replace(); `max_count` < 0 for all.
Value replaced(Budget& budget, const std::string& text, const std::string& from,
               const std::string& to, int64_t max_count);

/// First character in upper case and the others in lower case: str.capitalize().
std::string capitalized(std::string_view text);

/// str.islower() and str.isupper().
bool has_only_case(std::string_view text, bool is_upper);

}  // namespace llava::text::jinja
