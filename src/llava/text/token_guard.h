// SPDX-License-Identifier: Apache-2.0
//
// Keeps text that users wrote from acting as special tokens: a guard character inside what looks
// like one, which the tokenizer drops again once it has cut the text at special tokens.
#pragma once

#include <string>
#include <string_view>

#include "llava/text/tokenizer.h"

namespace llava::text {

/// U+FDD0, which is no character and never will be.
inline constexpr std::string_view kTokenGuard = "\xEF\xB7\x90";

/// `text` with a guard inside everything that is written like a special token of `tokenizer` or
/// like the placeholder of a picture; harmless text stays as it is. Guards of its own become
/// U+FFFD.
std::string guard_tokens(const Tokenizer& tokenizer, std::string_view text);

/// `text` without guards.
std::string remove_guards(std::string_view text);

}  // namespace llava::text
