// SPDX-License-Identifier: Apache-2.0
//
// The expressions of interpreter.h.
#include "llava/text/chat_template/filters.h"
#include "llava/text/chat_template/functions.h"
#include "llava/text/chat_template/interpreter.h"
#include "llava/text/chat_template/methods.h"
#include "llava/text/chat_template/operations.h"
#include "llava/text/chat_template/recursion.h"
#include "llava/text/chat_template/tests.h"
#include "llava/text/chat_template/text_form.h"

namespace llava::text::jinja {

Value Interpreter::evaluate(const Expr& expr, Scope& scope) {
  const Recursion recursion(depth_);
  budget_.step();
  switch (expr.kind) {
    case ExprKind::kConstant:
      return expr.constant;
    case ExprKind::kName:
      return evaluate_name(expr.name, scope);
    case ExprKind::kTuple:
      return budget_.sequence(Kind::kTuple, evaluate_all(expr.children, scope));
    case ExprKind::kList:
      return budget_.sequence(Kind::kList, evaluate_all(expr.children, scope));
    case ExprKind::kDict:
      return evaluate_dict(expr, scope);
    case ExprKind::kAnd: {
      Value left = evaluate(*expr.children[0], scope);
      return is_true(left) ? evaluate(*expr.children[1], scope) : left;
    }
    case ExprKind::kOr: {
      Value left = evaluate(*expr.children[0], scope);
      return is_true(left) ? left : evaluate(*expr.children[1], scope);
    }
    case ExprKind::kNot:
      return Value::boolean(!is_true(evaluate(*expr.children[0], scope)));
    case ExprKind::kConditional:
      if (is_true(evaluate(*expr.children[1], scope))) return evaluate(*expr.children[0], scope);
      if (expr.children[2] != nullptr) return evaluate(*expr.children[2], scope);
      return Value::undefined("the inline if-expression has no else part");
    default:
      return evaluate_operation(expr, scope);
  }
}

Value Interpreter::evaluate_operation(const Expr& expr, Scope& scope) {
  switch (expr.kind) {
    case ExprKind::kItem:
      return evaluate_item(expr, scope);
    case ExprKind::kCompare:
      return evaluate_compare(expr, scope);
    case ExprKind::kConcat:
      return evaluate_concat(expr, scope);
    case ExprKind::kCall:
      return evaluate_call(expr, scope);
    default:
      break;
  }
  Value first = evaluate(*expr.children[0], scope);
  switch (expr.kind) {
    case ExprKind::kAttribute:
      line_ = expr.line;
      budget_.step(first.is(Kind::kDict) ? static_cast<int64_t>(first.as_dict().items.size()) : 0);
      return get_attribute(first, expr.name);
    case ExprKind::kFilter: {
      const Arguments arguments = evaluate_arguments(expr, scope);
      line_ = expr.line;
      return apply_filter(budget_, expr.name, first, arguments);
    }
    case ExprKind::kTest: {
      const Arguments arguments = evaluate_arguments(expr, scope);
      line_ = expr.line;
      return Value::boolean(apply_test(budget_, expr.name, first, arguments));
    }
    case ExprKind::kNegative:
      return negated(first);
    case ExprKind::kPositive:
      return negated(negated(first));
    default: {
      const Value second = evaluate(*expr.children[1], scope);
      line_ = expr.line;
      return arithmetic(budget_, expr.kind, first, second);
    }
  }
}

Value Interpreter::evaluate_name(const std::string& name, const Scope& scope) {
  for (const Scope* at = &scope; at != nullptr; at = at->outer) {
    budget_.step(static_cast<int64_t>(at->variables.size() / 16));
    for (const auto& [own, value] : at->variables) {
      if (own == name) return value;
    }
  }
  if (is_function(name)) return Value::function(name);
  return Value::undefined(fmt::format("'{}' is undefined", name));
}

std::vector<Value> Interpreter::evaluate_all(const std::vector<ExprPtr>& exprs, Scope& scope) {
  std::vector<Value> values;
  values.reserve(exprs.size());
  for (const ExprPtr& expr : exprs) values.push_back(evaluate(*expr, scope));
  return values;
}

Value Interpreter::evaluate_dict(const Expr& expr, Scope& scope) {
  std::vector<std::pair<Value, Value>> items;
  for (size_t i = 0; i < expr.children.size(); i += 2) {
    Value key = evaluate(*expr.children[i], scope);
    if (!key.is_string()) {
      fail(ErrorCode::kUnsupported, "a {} as a key of a dict literal is not supported",
           type_name(key));
    }
    budget_.step(static_cast<int64_t>(items.size()));
    set_entry(items, std::move(key), evaluate(*expr.children[i + 1], scope));
  }
  budget_.charge(items.size() * 2 * sizeof(Value));
  return Value::dict(std::move(items));
}

Value Interpreter::evaluate_item(const Expr& expr, Scope& scope) {
  const Value object = evaluate(*expr.children[0], scope);
  const Expr& index = *expr.children[1];
  if (index.kind != ExprKind::kSlice) {
    const Value key = evaluate(index, scope);
    line_ = expr.line;
    return get_item(budget_, object, key);
  }
  std::vector<Value> parts;
  for (const ExprPtr& part : index.children) {
    parts.push_back(part != nullptr ? evaluate(*part, scope) : Value::none());
  }
  line_ = expr.line;
  return get_slice(budget_, object, parts[0], parts[1], parts[2]);
}

Value Interpreter::evaluate_compare(const Expr& expr, Scope& scope) {
  Value left = evaluate(*expr.children[0], scope);
  for (size_t i = 0; i < expr.ops.size(); ++i) {
    Value right = evaluate(*expr.children[i + 1], scope);
    line_ = expr.line;
    if (!compare_with(budget_, expr.ops[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_concat(const Expr& expr, Scope& scope) {
  std::string text;
  for (const Value& value : evaluate_all(expr.children, scope)) {
    const std::string part = to_str(budget_, value);
    budget_.charge(part.size());
    text += part;
  }
  return Value::string(std::move(text));
}

Value Interpreter::evaluate_call(const Expr& expr, Scope& scope) {
  const Value callee = evaluate(*expr.children[0], scope);
  const Arguments arguments = evaluate_arguments(expr, scope);
  line_ = expr.line;
  switch (callee.kind()) {
    case Kind::kUndefined:
      require_defined(callee);
      break;
    case Kind::kMethod:
      return call_method(budget_, callee.as_method(), arguments);
    case Kind::kFunction:
      return call_function(budget_, callee.as_string(), arguments, now_);
    case Kind::kMacro:
      return call_macro(*callee.as_macro(), arguments);
    case Kind::kLoop:
      fail(ErrorCode::kUnsupported, "a recursive loop is not supported");
    default:
      break;
  }
  fail(ErrorCode::kInvalidArgument, "'{}' object is not callable", type_name(callee));
}

Arguments Interpreter::evaluate_arguments(const Expr& expr, Scope& scope) {
  Arguments arguments;
  arguments.positional = evaluate_all(expr.arguments, scope);
  for (const auto& [name, value] : expr.keywords) {
    arguments.keywords.emplace_back(name, evaluate(*value, scope));
  }
  return arguments;
}

Value Interpreter::filter_text(const Expr& filter, Value text, Scope& scope) {
  const Recursion recursion(depth_);
  if (filter.children[0] != nullptr) {
    text = filter_text(*filter.children[0], std::move(text), scope);
  }
  const Arguments arguments = evaluate_arguments(filter, scope);
  line_ = filter.line;
  return apply_filter(budget_, filter.name, text, arguments);
}

}  // namespace llava::text::jinja
