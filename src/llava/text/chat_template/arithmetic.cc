// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of operations.h.
#include <algorithm>
#include <cmath>
#include <limits>

#include "llava/text/chat_template/operations.h"

namespace llava::text::jinja {
namespace {

std::string_view symbol_of(ExprKind kind) {
  switch (kind) {
    case ExprKind::kAdd:
      return "+";
    case ExprKind::kSubtract:
      return "-";
    case ExprKind::kMultiply:
      return "*";
    case ExprKind::kDivide:
      return "/";
    case ExprKind::kFloorDivide:
      return "//";
    case ExprKind::kModulo:
      return "%";
    default:
      return "**";
  }
}

[[noreturn]] void overflow() {
  fail(ErrorCode::kUnsupported, "an integer beyond 64 bits is not supported");
}

[[noreturn]] void division_by_zero() { fail(ErrorCode::kInvalidArgument, "division by zero"); }

// Integers up to here are exact as doubles.
constexpr int64_t kMaxExactDouble = int64_t{1} << 53;

double exact_double(int64_t value) {
  if (value > kMaxExactDouble || value < -kMaxExactDouble) overflow();
  return static_cast<double>(value);
}

int64_t floor_divide(int64_t left, int64_t right) {
  if (right == 0) division_by_zero();
  if (right == -1 && left == std::numeric_limits<int64_t>::min()) overflow();
  const int64_t quotient = left / right;
  return quotient - (left % right != 0 && (left % right < 0) != (right < 0) ? 1 : 0);
}

int64_t modulo(int64_t left, int64_t right) {
  if (right == 0) division_by_zero();
  if (right == -1) return 0;
  const int64_t rest = left % right;
  return rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest;
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return result;
}

Value real_power(double base, double exponent) {
  if (base == 0 && exponent < 0) division_by_zero();
  if (base < 0 && exponent != std::floor(exponent)) {
    fail(ErrorCode::kUnsupported, "a complex number is not supported");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    fail(ErrorCode::kInvalidArgument, "numerical result of ** out of range");
  }
  return Value::real(result);
}

struct FloorDivision {
  double quotient;
  double rest;
};

// As CPython divides: the rest has the divisor's sign.
FloorDivision floor_division(double left, double right) {
  if (right == 0) division_by_zero();
  double rest = std::fmod(left, right);
  double quotient = (left - rest) / right;
  if (rest == 0) {
    rest = std::copysign(0.0, right);
  } else if ((right < 0) != (rest < 0)) {
    rest += right;
    quotient -= 1;
  }
  if (quotient == 0) return {std::copysign(0.0, left / right), rest};
  const double whole = std::floor(quotient);
  return {quotient - whole > 0.5 ? whole + 1 : whole, rest};
}

Value integers(ExprKind kind, int64_t left, int64_t right) {
  int64_t result = 0;
  switch (kind) {
    case ExprKind::kAdd:
      if (__builtin_add_overflow(left, right, &result)) overflow();
      return Value::integer(result);
    case ExprKind::kSubtract:
      if (__builtin_sub_overflow(left, right, &result)) overflow();
      return Value::integer(result);
    case ExprKind::kMultiply:
      if (__builtin_mul_overflow(left, right, &result)) overflow();
      return Value::integer(result);
    case ExprKind::kDivide:
      if (right == 0) division_by_zero();
      return Value::real(exact_double(left) / exact_double(right));
    case ExprKind::kFloorDivide:
      return Value::integer(floor_divide(left, right));
    case ExprKind::kModulo:
      return Value::integer(modulo(left, right));
    default:
      if (right < 0) return real_power(exact_double(left), exact_double(right));
      return Value::integer(power(left, right));
  }
}

Value reals(ExprKind kind, double left, double right) {
  switch (kind) {
    case ExprKind::kAdd:
      return Value::real(left + right);
    case ExprKind::kSubtract:
      return Value::real(left - right);
    case ExprKind::kMultiply:
      return Value::real(left * right);
    case ExprKind::kDivide:
      if (right == 0) division_by_zero();
      return Value::real(left / right);
    case ExprKind::kFloorDivide:
      return Value::real(floor_division(left, right).quotient);
    case ExprKind::kModulo:
      return Value::real(floor_division(left, right).rest);
    default:
      return real_power(left, right);
  }
}

Value repeated(Budget& budget, const Value& value, int64_t count) {
  const auto times = static_cast<size_t>(std::max<int64_t>(count, 0));
  const size_t size =
      value.is_string() ? value.as_string().size() : value.items().size() * sizeof(Value);
  if (size != 0 && times > std::numeric_limits<size_t>::max() / size) overflow();
  budget.charge(size * times);
  if (size == 0 || times == 0) {
    return value.is_string() ? Value::string("") : Value::sequence(value.kind(), {});
  }
  if (value.is_string()) {
    std::string text;
    text.reserve(size * times);
    for (size_t i = 0; i < times; ++i) text += value.as_string();
    return Value::string(std::move(text));
  }
  std::vector<Value> items;
  items.reserve(value.items().size() * times);
  for (size_t i = 0; i < times; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return Value::sequence(value.kind(), std::move(items));
}

bool is_repeatable(const Value& value) {
  return value.is_string() || value.is(Kind::kList) || value.is(Kind::kTuple);
}

Value joined(Budget& budget, const Value& left, const Value& right) {
  if (left.is_string()) {
    budget.charge(left.as_string().size() + right.as_string().size());
    return Value::string(left.as_string() + right.as_string());
  }
  std::vector<Value> items = left.items();
  items.insert(items.end(), right.items().begin(), right.items().end());
  return budget.sequence(left.kind(), std::move(items));
}

}  // namespace

Value arithmetic(Budget& budget, ExprKind kind, const Value& left, const Value& right) {
  require_defined(left);
  require_defined(right);
  if (left.is_integral() && right.is_integral()) {
    return integers(kind, left.as_int(), right.as_int());
  }
  if (left.is_number() && right.is_number()) {
    return reals(kind, left.as_double(), right.as_double());
  }
  if (kind == ExprKind::kAdd && is_repeatable(left) && left.kind() == right.kind()) {
    return joined(budget, left, right);
  }
  if (kind == ExprKind::kMultiply && is_repeatable(left) && right.is_integral()) {
    return repeated(budget, left, right.as_int());
  }
  if (kind == ExprKind::kMultiply && left.is_integral() && is_repeatable(right)) {
    return repeated(budget, right, left.as_int());
  }
  if (kind == ExprKind::kModulo && left.is_string()) {
    fail(ErrorCode::kUnsupported, "formatting a string with '%' is not supported");
  }
  if (kind == ExprKind::kAdd && left.is_string()) {
    fail(ErrorCode::kInvalidArgument, "can only concatenate str (not \"{}\") to str",
         type_name(right));
  }
  if (left.is(Kind::kView) || right.is(Kind::kView)) {
    fail(ErrorCode::kUnsupported, "'{}' with a dict view is not supported", symbol_of(kind));
  }
  fail(ErrorCode::kInvalidArgument, "unsupported operand types for {}: '{}' and '{}'",
       symbol_of(kind), type_name(left), type_name(right));
}

Value negated(const Value& value) {
  require_defined(value);
  if (value.is_integral()) return integers(ExprKind::kSubtract, 0, value.as_int());
  if (value.is(Kind::kFloat)) return Value::real(-value.as_double());
  fail(ErrorCode::kInvalidArgument, "bad operand type for unary -: '{}'", type_name(value));
}

}  // namespace llava::text::jinja
