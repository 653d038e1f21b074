// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/expression_parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace llava::text::jinja {
namespace {

struct OperatorKind {
  std::string_view text;
  ExprKind kind;
};

template <size_t N>
std::optional<ExprKind> find_operator(const std::array<OperatorKind, N>& table,
                                      const TokenStream& stream) {
  for (const OperatorKind& entry : table) {
    if (stream.is_operator(entry.text)) return entry.kind;
  }
  return std::nullopt;
}

constexpr std::array<OperatorKind, 2> kSums = {{{"+", ExprKind::kAdd}, {"-", ExprKind::kSubtract}}};
constexpr std::array<OperatorKind, 4> kProducts = {{{"*", ExprKind::kMultiply},
                                                    {"/", ExprKind::kDivide},
                                                    {"//", ExprKind::kFloorDivide},
                                                    {"%", ExprKind::kModulo}}};

std::optional<CompareOp> compare_operator(const TokenStream& stream) {
  constexpr std::array<std::pair<std::string_view, CompareOp>, 6> kTable = {
      {{"==", CompareOp::kEqual},
       {"!=", CompareOp::kNotEqual},
       {"<", CompareOp::kLess},
       {"<=", CompareOp::kLessEqual},
       {">", CompareOp::kGreater},
       {">=", CompareOp::kGreaterEqual}}};
  for (const auto& [text, op] : kTable) {
    if (stream.is_operator(text)) return op;
  }
  return std::nullopt;
}

}  // namespace

ExprPtr ExpressionParser::make(ExprKind kind, int line) const {
  auto expr = std::make_unique<Expr>();
  expr->kind = kind;
  expr->line = line;
  return expr;
}

// A chain such as a + b + c makes a tree as deep as it is long; the interpreter walks it
// recursively.
ExprPtr ExpressionParser::with_children(ExprPtr expr, std::vector<ExprPtr> children) const {
  for (ExprPtr& child : children) {
    if (child != nullptr) expr->depth = std::max(expr->depth, child->depth + 1);
    expr->children.push_back(std::move(child));
  }
  check_depth(*expr);
  return expr;
}

void ExpressionParser::check_depth(const Expr& expr) const {
  if (expr.depth > kMaxTreeDepth) {
    stream_.error(ErrorCode::kBadFormat,
                  fmt::format("an expression chains more than {} operations", kMaxTreeDepth));
  }
}

ExprPtr ExpressionParser::binary(ExprKind kind, int line, ExprPtr left, ExprPtr right) const {
  std::vector<ExprPtr> children;
  children.push_back(std::move(left));
  children.push_back(std::move(right));
  return with_children(make(kind, line), std::move(children));
}

ExprPtr ExpressionParser::parse() {
  const DepthGuard guard(depth_, stream_);
  ExprPtr value = parse_or();
  while (stream_.is_name("if")) {
    const int line = stream_.take().line;
    std::vector<ExprPtr> children;
    children.push_back(std::move(value));
    children.push_back(parse_or());
    children.push_back(stream_.skip_name("else") ? parse() : nullptr);
    value = with_children(make(ExprKind::kConditional, line), std::move(children));
  }
  return value;
}

ExprPtr ExpressionParser::parse_or() {
  ExprPtr left = parse_and();
  while (stream_.is_name("or")) {
    const int line = stream_.take().line;
    left = binary(ExprKind::kOr, line, std::move(left), parse_and());
  }
  return left;
}

ExprPtr ExpressionParser::parse_and() {
  ExprPtr left = parse_not();
  while (stream_.is_name("and")) {
    const int line = stream_.take().line;
    left = binary(ExprKind::kAnd, line, std::move(left), parse_not());
  }
  return left;
}

ExprPtr ExpressionParser::parse_not() {
  if (!stream_.is_name("not")) return parse_compare();
  const DepthGuard guard(depth_, stream_);
  const int line = stream_.take().line;
  std::vector<ExprPtr> children;
  children.push_back(parse_not());
  return with_children(make(ExprKind::kNot, line), std::move(children));
}

ExprPtr ExpressionParser::parse_compare() {
  const int line = stream_.line();
  std::vector<ExprPtr> operands;
  std::vector<CompareOp> ops;
  operands.push_back(parse_sum());
  while (true) {
    if (const std::optional<CompareOp> op = compare_operator(stream_)) {
      stream_.take();
      ops.push_back(*op);
    } else if (stream_.skip_name("in")) {
      ops.push_back(CompareOp::kIn);
    } else if (stream_.is_name("not") && TokenStream::is_name(stream_.ahead(), "in")) {
      stream_.take();
      stream_.take();
      ops.push_back(CompareOp::kNotIn);
    } else {
      break;
    }
    operands.push_back(parse_sum());
  }
  if (ops.empty()) return std::move(operands.front());
  ExprPtr expr = with_children(make(ExprKind::kCompare, line), std::move(operands));
  expr->ops = std::move(ops);
  return expr;
}

ExprPtr ExpressionParser::parse_sum() {
  ExprPtr left = parse_concat();
  while (const std::optional<ExprKind> kind = find_operator(kSums, stream_)) {
    const int line = stream_.take().line;
    left = binary(*kind, line, std::move(left), parse_concat());
  }
  return left;
}

ExprPtr ExpressionParser::parse_concat() {
  const int line = stream_.line();
  std::vector<ExprPtr> parts;
  parts.push_back(parse_product());
  while (stream_.skip_operator("~")) parts.push_back(parse_product());
  if (parts.size() == 1) return std::move(parts.front());
  return with_children(make(ExprKind::kConcat, line), std::move(parts));
}

ExprPtr ExpressionParser::parse_product() {
  ExprPtr left = parse_power();
  while (const std::optional<ExprKind> kind = find_operator(kProducts, stream_)) {
    const int line = stream_.take().line;
    left = binary(*kind, line, std::move(left), parse_power());
  }
  return left;
}

ExprPtr ExpressionParser::parse_power() {
  ExprPtr left = parse_unary();
  while (stream_.is_operator("**")) {
    const int line = stream_.take().line;
    left = binary(ExprKind::kPower, line, std::move(left), parse_unary());
  }
  return left;
}

ExprPtr ExpressionParser::parse_unary(bool has_filters) {
  ExprPtr expr;
  if (stream_.is_operator("-") || stream_.is_operator("+")) {
    const DepthGuard guard(depth_, stream_);
    const Token sign = stream_.take();
    std::vector<ExprPtr> children;
    children.push_back(parse_unary(false));
    expr =
        with_children(make(sign.text == "-" ? ExprKind::kNegative : ExprKind::kPositive, sign.line),
                      std::move(children));
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(std::move(expr));
  if (!has_filters) return expr;
  while (true) {
    if (stream_.is_operator("|")) {
      expr = parse_filters(std::move(expr));
    } else if (stream_.is_name("is")) {
      expr = parse_test(std::move(expr));
    } else if (stream_.is_operator("(")) {
      expr = parse_call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::parse_primary() {
  const int line = stream_.line();
  switch (stream_.current().kind) {
    case TokenKind::kName:
      return parse_name();
    case TokenKind::kString: {
      ExprPtr expr = make(ExprKind::kConstant, line);
      std::string text;
      while (stream_.is(TokenKind::kString)) text += stream_.take().text;
      expr->constant = Value::string(std::move(text));
      return expr;
    }
    case TokenKind::kNumber: {
      ExprPtr expr = make(ExprKind::kConstant, line);
      expr->constant = stream_.take().number;
      return expr;
    }
    default:
      break;
  }
  if (stream_.skip_operator("(")) {
    ExprPtr expr = parse_tuple(true, {}, /*is_in_parentheses=*/true);
    stream_.expect_operator(")");
    return expr;
  }
  if (stream_.is_operator("[")) return parse_list();
  if (stream_.is_operator("{")) return parse_dict();
  stream_.unexpected("a value");
}

ExprPtr ExpressionParser::parse_name() {
  const Token token = stream_.take();
  const std::string& name = token.text;
  ExprPtr expr = make(ExprKind::kConstant, token.line);
  if (name == "true" || name == "True") {
    expr->constant = Value::boolean(true);
  } else if (name == "false" || name == "False") {
    expr->constant = Value::boolean(false);
  } else if (name == "none" || name == "None") {
    expr->constant = Value::none();
  } else {
    expr->kind = ExprKind::kName;
    expr->name = name;
  }
  return expr;
}

ExprPtr ExpressionParser::parse_tuple(bool has_conditional, std::string_view end_name,
                                      bool is_in_parentheses) {
  const int line = stream_.line();
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (true) {
    const bool is_end = stream_.is(TokenKind::kVariableEnd) || stream_.is(TokenKind::kBlockEnd) ||
                        stream_.is_operator(")") ||
                        (!end_name.empty() && stream_.is_name(end_name));
    if (is_end) break;
    items.push_back(has_conditional ? parse() : parse_or());
    if (!stream_.skip_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items.front());
  if (!is_tuple && !is_in_parentheses) stream_.unexpected("an expression");
  return with_children(make(ExprKind::kTuple, line), std::move(items));
}

ExprPtr ExpressionParser::parse_list() {
  const int line = stream_.take().line;
  std::vector<ExprPtr> items;
  while (!stream_.is_operator("]")) {
    items.push_back(parse());
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator("]");
  return with_children(make(ExprKind::kList, line), std::move(items));
}

ExprPtr ExpressionParser::parse_dict() {
  const int line = stream_.take().line;
  std::vector<ExprPtr> items;
  while (!stream_.is_operator("}")) {
    items.push_back(parse());
    stream_.expect_operator(":");
    items.push_back(parse());
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator("}");
  return with_children(make(ExprKind::kDict, line), std::move(items));
}

ExprPtr ExpressionParser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (stream_.is_operator(".")) {
      expr = parse_attribute(std::move(expr));
    } else if (stream_.is_operator("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (stream_.is_operator("(")) {
      expr = parse_call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr ExpressionParser::parse_attribute(ExprPtr expr) {
  const int line = stream_.take().line;
  if (stream_.is(TokenKind::kName)) {
    std::vector<ExprPtr> children;
    children.push_back(std::move(expr));
    ExprPtr attribute = with_children(make(ExprKind::kAttribute, line), std::move(children));
    attribute->name = stream_.take().text;
    return attribute;
  }
  if (!stream_.is(TokenKind::kNumber) || !stream_.current().number.is(Kind::kInt)) {
    stream_.unexpected("a name or a whole number");
  }
  ExprPtr index = make(ExprKind::kConstant, line);
  index->constant = stream_.take().number;
  return binary(ExprKind::kItem, line, std::move(expr), std::move(index));
}

ExprPtr ExpressionParser::parse_subscript(ExprPtr expr) {
  const int line = stream_.take().line;
  ExprPtr index = parse_index_or_slice();
  if (stream_.is_operator(",")) {
    stream_.error(ErrorCode::kUnsupported, "a subscript of several values is not supported");
  }
  stream_.expect_operator("]");
  return binary(ExprKind::kItem, line, std::move(expr), std::move(index));
}

ExprPtr ExpressionParser::parse_index_or_slice() {
  const int line = stream_.line();
  std::vector<ExprPtr> parts(3);
  if (!stream_.is_operator(":")) {
    parts[0] = parse();
    if (!stream_.is_operator(":")) return std::move(parts[0]);
  }
  const auto is_part = [this] {
    return !stream_.is_operator(":") && !stream_.is_operator("]") && !stream_.is_operator(",");
  };
  stream_.expect_operator(":");
  if (is_part()) parts[1] = parse();
  if (stream_.skip_operator(":") && is_part()) parts[2] = parse();
  return with_children(make(ExprKind::kSlice, line), std::move(parts));
}

ExprPtr ExpressionParser::parse_call(ExprPtr expr) {
  std::vector<ExprPtr> children;
  children.push_back(std::move(expr));
  ExprPtr call = with_children(make(ExprKind::kCall, stream_.line()), std::move(children));
  parse_arguments(*call);
  return call;
}

void ExpressionParser::parse_arguments(Expr& call) {
  stream_.expect_operator("(");
  while (!stream_.is_operator(")")) {
    if (stream_.is_operator("*") || stream_.is_operator("**")) {
      stream_.error(ErrorCode::kUnsupported, fmt::format("'{}' before an argument is not supported",
                                                         stream_.current().text));
    }
    if (stream_.is(TokenKind::kName) && TokenStream::is_operator(stream_.ahead(), "=")) {
      std::string name = stream_.take().text;
      stream_.take();
      call.keywords.emplace_back(std::move(name), parse());
      call.depth = std::max(call.depth, call.keywords.back().second->depth + 1);
    } else {
      if (!call.keywords.empty()) stream_.unexpected("a keyword argument");
      call.arguments.push_back(parse());
      call.depth = std::max(call.depth, call.arguments.back()->depth + 1);
    }
    if (!stream_.skip_operator(",")) break;
  }
  stream_.expect_operator(")");
  check_depth(call);
}

std::string ExpressionParser::parse_dotted_name() {
  std::string name = stream_.expect_name();
  while (stream_.skip_operator(".")) {
    name += '.';
    name += stream_.expect_name();
  }
  return name;
}

ExprPtr ExpressionParser::parse_filters(ExprPtr subject, bool is_started) {
  while (is_started || stream_.is_operator("|")) {
    if (!is_started) stream_.take();
    is_started = false;
    std::vector<ExprPtr> children;
    children.push_back(std::move(subject));
    ExprPtr filter = with_children(make(ExprKind::kFilter, stream_.line()), std::move(children));
    filter->name = parse_dotted_name();
    if (stream_.is_operator("(")) parse_arguments(*filter);
    subject = std::move(filter);
  }
  return subject;
}

ExprPtr ExpressionParser::parse_test(ExprPtr subject) {
  const int line = stream_.take().line;
  const bool is_negated = stream_.skip_name("not");
  std::vector<ExprPtr> children;
  children.push_back(std::move(subject));
  ExprPtr test = with_children(make(ExprKind::kTest, line), std::move(children));
  test->name = parse_dotted_name();
  const bool is_argument = (stream_.is(TokenKind::kName) && !stream_.is_name("else") &&
                            !stream_.is_name("or") && !stream_.is_name("and")) ||
                           stream_.is(TokenKind::kString) || stream_.is(TokenKind::kNumber) ||
                           stream_.is_operator("[") || stream_.is_operator("{");
  if (stream_.is_operator("(")) {
    parse_arguments(*test);
  } else if (is_argument) {
    if (stream_.is_name("is")) {
      stream_.error(ErrorCode::kBadFormat, "You cannot chain multiple tests with is");
    }
    test->arguments.push_back(parse_postfix(parse_primary()));
    test->depth = std::max(test->depth, test->arguments.back()->depth + 1);
  }
  if (!is_negated) return test;
  std::vector<ExprPtr> negated;
  negated.push_back(std::move(test));
  return with_children(make(ExprKind::kNot, line), std::move(negated));
}

}  // namespace llava::text::jinja
