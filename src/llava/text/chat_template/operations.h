// SPDX-License-Identifier: Apache-2.0
//
// What a template can do with values: arithmetic, items and attributes, membership, iteration.
// Errors carry no place; the interpreter adds it.
#pragma once

#include <string>
#include <vector>

#include "llava/text/chat_template/budget.h"
#include "llava/text/chat_template/syntax.h"

namespace llava::text::jinja {

/// Throws: Error(kInvalidArgument) where Python raises, Error(kUnsupported) where the result has no
/// form here (integers beyond 64 bits, printf formatting).
Value arithmetic(Budget& budget, ExprKind kind, const Value& left, const Value& right);
Value negated(const Value& value);

bool compare_with(Budget& budget, CompareOp op, const Value& left, const Value& right);
/// Python's `item in container`.
bool contains(Budget& budget, const Value& container, const Value& item);

/// `object.name`: the attribute, else the item; undefined when there is neither.
Value get_attribute(const Value& object, const std::string& name);
/// `object[key]`: the item, else the attribute; undefined when there is neither.
Value get_item(Budget& budget, const Value& object, const Value& key);
/// `object[start:stop:step]`; each part may be none.
Value get_slice(Budget& budget, const Value& object, const Value& start, const Value& stop,
                const Value& step);

/// The items that a loop over the value goes through. A generator is then used up.
///
/// Throws: Error(kInvalidArgument) for what Python cannot iterate.
std::vector<Value> iterate(Budget& budget, const Value& value);
bool is_iterable(const Value& value);
/// Marks a generator as used in part.
///
/// Throws: Error(kUnsupported) if it was already.
void cut(Generator& generator);

/// Python's len().
int64_t length_of(Budget& budget, const Value& value);

/// Fails with the reason if the value is undefined.
void require_defined(const Value& value);

/// The entry with this key, replaced or added.
void set_entry(std::vector<std::pair<Value, Value>>& items, Value key, Value value);

}  // namespace llava::text::jinja
