// SPDX-License-Identifier: Apache-2.0
//
// The filters behind `|`.
#pragma once

#include <optional>
#include <string>

#include "llava/text/chat_template/arguments.h"
#include "llava/text/chat_template/budget.h"

namespace llava::text::jinja {

/// `value | name(arguments)`.
///
/// Throws: Error(kUnsupported) for a name that is not known, Error(kInvalidArgument) where Python
/// raises.
Value apply_filter(Budget& budget, const std::string& name, const Value& value,
                   const Arguments& arguments);

/// Filters over the items of a value (map, select, sort, ...); absent if the name is none of them.
std::optional<Value> apply_item_filter(Budget& budget, const std::string& name, const Value& value,
                                       const Arguments& arguments);

}  // namespace llava::text::jinja
