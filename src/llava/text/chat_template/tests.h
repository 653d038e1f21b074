// SPDX-License-Identifier: Apache-2.0
//
// The tests behind `is`.
#pragma once

#include <string>

#include "llava/text/chat_template/arguments.h"
#include "llava/text/chat_template/budget.h"

namespace llava::text::jinja {

/// `value is name(arguments)`.
///
/// Throws: Error(kUnsupported) for a name that is not known.
bool apply_test(Budget& budget, const std::string& name, const Value& value,
                const Arguments& arguments);

}  // namespace llava::text::jinja
