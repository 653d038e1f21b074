// SPDX-License-Identifier: Apache-2.0
//
// The part of call_method() for strings.
#pragma once

#include "llava/text/chat_template/arguments.h"
#include "llava/text/chat_template/budget.h"

namespace llava::text::jinja {

/// Calls a method of a string; `method.object` is one.
///
/// Throws: as call_method().
Value call_string_method(Budget& budget, const Method& method, const Arguments& arguments);

}  // namespace llava::text::jinja
