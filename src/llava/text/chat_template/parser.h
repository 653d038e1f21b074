// SPDX-License-Identifier: Apache-2.0
//
// Builds the syntax tree of a chat template, by the grammar of Jinja 3.1 as far as published chat
// templates use it.
#pragma once

#include <string_view>

#include "llava/text/chat_template/syntax.h"

namespace llava::text::jinja {

/// Throws: Error(kBadFormat) for what Jinja refuses and beyond the nesting limit,
/// Error(kUnsupported) for what it knows and this program does not; all with label and line.
Program parse_program(std::string_view source, std::string_view label);

}  // namespace llava::text::jinja
