// SPDX-License-Identifier: Apache-2.0
//
// The global functions of chat templates.
#pragma once

#include <ctime>
#include <string>

#include "llava/text/chat_template/arguments.h"
#include "llava/text/chat_template/budget.h"

namespace llava::text::jinja {

/// True for a name that is a global function, supported or not.
bool is_function(std::string_view name);

/// Calls a global function. `now` is what strftime_now formats.
///
/// Throws: Error(kInvalidArgument) with the template's text for raise_exception, and where Python
/// raises; Error(kUnsupported) for functions and formats that are not supported.
Value call_function(Budget& budget, const std::string& name, const Arguments& arguments,
                    const std::tm& now);

}  // namespace llava::text::jinja
