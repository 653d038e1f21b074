// SPDX-License-Identifier: Apache-2.0
//
// Cuts a chat template into tokens, with the white-space rules that the published renderer sets:
// trim_blocks and lstrip_blocks on, "-" and "+" signs, the last newline dropped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/text/chat_template/value.h"

namespace llava::text::jinja {

enum class TokenKind : uint8_t {
  kText,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kNumber,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 1;
  /// Text, name, string content or operator.
  std::string text;
  /// Of a number.
  Value number;
};

/// Throws: Error(kBadFormat) or Error(kUnsupported) with label and line.
std::vector<Token> tokenize_template(std::string_view source, std::string_view label);

}  // namespace llava::text::jinja
