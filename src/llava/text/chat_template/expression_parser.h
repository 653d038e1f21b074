// SPDX-License-Identifier: Apache-2.0
//
// The expressions of a chat template, one function per level of precedence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "llava/text/chat_template/syntax.h"
#include "llava/text/chat_template/token_stream.h"

namespace llava::text::jinja {

/// Deepest nesting of brackets, operators and blocks, and longest chain of operators.
inline constexpr int kMaxParseDepth = 100;
inline constexpr int kMaxTreeDepth = 200;

/// Counts one level of recursion for as long as it lives.
class DepthGuard {
 public:
  DepthGuard(int& depth, const TokenStream& stream) : depth_(depth) {
    if (++depth_ > kMaxParseDepth) {
      --depth_;
      stream.error(ErrorCode::kBadFormat,
                   fmt::format("nesting is deeper than {} levels", kMaxParseDepth));
    }
  }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;
  ~DepthGuard() { --depth_; }

 private:
  int& depth_;
};

class ExpressionParser {
 public:
  ExpressionParser(TokenStream& stream, int& depth) : stream_(stream), depth_(depth) {}

  /// One expression.
  ExprPtr parse();
  /// One expression without an inline `if` at its outermost level.
  ExprPtr parse_or();
  /// An expression, or a tuple of several with commas between them.
  ExprPtr parse_tuple(bool has_conditional = true, std::string_view end_name = {},
                      bool is_in_parentheses = false);
  /// `| name(...)` once or more behind `subject`, which may be null at the start of a filter block.
  ExprPtr parse_filters(ExprPtr subject, bool is_started = false);

 private:
  ExprPtr make(ExprKind kind, int line) const;
  ExprPtr with_children(ExprPtr expr, std::vector<ExprPtr> children) const;
  void check_depth(const Expr& expr) const;
  ExprPtr binary(ExprKind kind, int line, ExprPtr left, ExprPtr right) const;

  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool has_filters = true);
  ExprPtr parse_primary();
  ExprPtr parse_name();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_attribute(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr expr);
  ExprPtr parse_index_or_slice();
  ExprPtr parse_call(ExprPtr expr);
  void parse_arguments(Expr& call);
  ExprPtr parse_test(ExprPtr subject);
  std::string parse_dotted_name();

  TokenStream& stream_;
  int& depth_;
};

}  // namespace llava::text::jinja
