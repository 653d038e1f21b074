// SPDX-License-Identifier: Apache-2.0
//
// What moderation reads: the words of a request, and the service's answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "llava/core/json.h"

namespace llava::serve {

/// Everything in a request that is not the assistant's, a line for each text; empty: nothing. Knows
/// the fields of every front end: `messages`, `prompt`, `system`, `text`. What is malformed there
/// is left to those who read the request itself.
///
/// Throws: ApiError 400 `unsupported_parameter` for token ids, whose words nobody here knows.
std::string moderated_text(const OrderedJson& body);

/// Whether the service flags the text: `results[0].flagged`; nothing where it does not say.
std::optional<bool> read_moderation_answer(std::string_view body);

}  // namespace llava::serve
