// SPDX-License-Identifier: Apache-2.0
//
// The parser's view of the tokens: looking ahead, expecting, and errors with the place.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/error.h"
#include "llava/text/chat_template/lexer.h"

namespace llava::text::jinja {

class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, std::string_view label)
      : tokens_(std::move(tokens)), label_(label) {}

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  int line() const { return current().line; }
  std::string_view label() const { return label_; }

  bool is(TokenKind kind) const { return current().kind == kind; }
  bool is_operator(std::string_view text) const { return is_operator(current(), text); }
  bool is_name(std::string_view text) const { return is_name(current(), text); }
  static bool is_operator(const Token& token, std::string_view text) {
    return token.kind == TokenKind::kOperator && token.text == text;
  }
  static bool is_name(const Token& token, std::string_view text) {
    return token.kind == TokenKind::kName && token.text == text;
  }

  /// The current token; the stream moves on.
  Token take() {
    Token token = current();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip_operator(std::string_view text) {
    if (!is_operator(text)) return false;
    take();
    return true;
  }
  bool skip_name(std::string_view text) {
    if (!is_name(text)) return false;
    take();
    return true;
  }
  void expect_operator(std::string_view text) {
    if (!skip_operator(text)) unexpected(fmt::format("'{}'", text));
  }
  void expect(TokenKind kind, std::string_view what) {
    if (!is(kind)) unexpected(what);
    take();
  }
  std::string expect_name() {
    if (!is(TokenKind::kName)) unexpected("a name");
    return take().text;
  }

  [[noreturn]] void unexpected(std::string_view expected) const {
    error(ErrorCode::kBadFormat, fmt::format("found {}, expected {}", describe(), expected));
  }
  [[noreturn]] void error(ErrorCode code, std::string_view what) const {
    fail(code, "chat template '{}' line {}: {}", label_, line(), what);
  }

 private:
  std::string describe() const {
    switch (current().kind) {
      case TokenKind::kText:
        return "text";
      case TokenKind::kVariableBegin:
        return "'{{'";
      case TokenKind::kVariableEnd:
        return "'}}'";
      case TokenKind::kBlockBegin:
        return "'{%'";
      case TokenKind::kBlockEnd:
        return "'%}'";
      case TokenKind::kString:
        return "a string";
      case TokenKind::kEnd:
        return "the end of the template";
      default:
        return "'" + current().text + "'";
    }
  }

  std::vector<Token> tokens_;
  std::string_view label_;
  size_t at_ = 0;
};

}  // namespace llava::text::jinja
