// SPDX-License-Identifier: Apache-2.0
//
// Python's order of values.
#pragma once

#include "llava/text/chat_template/value.h"

namespace llava::text::jinja {

enum class Order { kLess, kEqual, kGreater, kUnordered };

/// Exact comparison of two numbers, also of an int with a float.
Order compare_numbers(const Value& left, const Value& right);

/// The order of two numbers, strings, lists or tuples.
///
/// Throws: Error(kInvalidArgument) for types that Python does not order, or undefined values.
Order compare(Budget& budget, const Value& left, const Value& right);

}  // namespace llava::text::jinja
