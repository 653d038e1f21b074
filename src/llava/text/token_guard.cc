// SPDX-License-Identifier: Apache-2.0
#include "llava/text/token_guard.h"

#include "llava/text/conversation.h"
#include "llava/text/python_text.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

/// A guard behind the first character of every occurrence.
void guard(std::string& text, std::string_view token) {
  const std::size_t first = decode_utf8(token, 0).num_bytes;
  if (first >= token.size()) return;
  for (std::size_t at = text.find(token); at != std::string::npos; at = text.find(token, at + 1)) {
    text.insert(at + first, kTokenGuard);
  }
}

}  // namespace

std::string guard_tokens(const Tokenizer& tokenizer, std::string_view text) {
  std::string guarded = replace_text(std::string(text), kTokenGuard, "\xEF\xBF\xBD");
  guard(guarded, kImageToken);
  for (const std::string& token : tokenizer.special_tokens()) guard(guarded, token);
  return guarded;
}

std::string remove_guards(std::string_view text) {
  return replace_text(std::string(text), kTokenGuard, "");
}

}  // namespace llava::text
