// SPDX-License-Identifier: Apache-2.0
//
// Numbers and string literals as Python writes them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "llava/text/chat_template/value.h"

namespace llava::text::jinja {

/// Length of the number at the beginning of `text`, which begins with a digit. After a dot there
/// are only whole numbers (`x.0.1` are two indices).
size_t number_length(std::string_view text, bool is_after_dot);

/// The value of a number literal, underscores allowed.
///
/// Throws: Error(kUnsupported) beyond 64 bits.
Value parse_number(std::string_view text);

/// The text of a string literal's inside, escapes resolved.
///
/// Throws: Error(kBadFormat) for a malformed escape, Error(kUnsupported) for one that has no
/// meaning in UTF-8 or is not supported.
std::string unescape(std::string_view text);

/// Python's int(text) and float(text) for a string with optional white space around; absent where
/// Python raises ValueError.
///
/// Throws: Error(kUnsupported) beyond 64 bits.
std::optional<int64_t> parse_python_int(std::string_view text, int base);
std::optional<double> parse_python_float(std::string_view text);

}  // namespace llava::text::jinja
