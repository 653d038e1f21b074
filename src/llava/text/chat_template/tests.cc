// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/tests.h"

#include <array>
#include <optional>
#include <utility>

#include "llava/text/chat_template/methods.h"
#include "llava/text/chat_template/operations.h"
#include "llava/text/chat_template/text_form.h"

namespace llava::text::jinja {
namespace {

std::optional<CompareOp> comparison(const std::string& name) {
  static constexpr std::array<std::pair<std::string_view, CompareOp>, 16> kNames = {
      {{"eq", CompareOp::kEqual},
       {"equalto", CompareOp::kEqual},
       {"==", CompareOp::kEqual},
       {"ne", CompareOp::kNotEqual},
       {"!=", CompareOp::kNotEqual},
       {"lt", CompareOp::kLess},
       {"lessthan", CompareOp::kLess},
       {"<", CompareOp::kLess},
       {"le", CompareOp::kLessEqual},
       {"<=", CompareOp::kLessEqual},
       {"gt", CompareOp::kGreater},
       {"greaterthan", CompareOp::kGreater},
       {">", CompareOp::kGreater},
       {"ge", CompareOp::kGreaterEqual},
       {">=", CompareOp::kGreaterEqual},
       {"in", CompareOp::kIn}}};
  for (const auto& [known, op] : kNames) {
    if (known == name) return op;
  }
  return std::nullopt;
}

bool is_same(const Value& value, const Value& other) {
  const bool is_single = value.is(Kind::kNone) || value.is(Kind::kBool);
  const bool is_other_single = other.is(Kind::kNone) || other.is(Kind::kBool);
  if (!is_single && !is_other_single) {
    fail(ErrorCode::kUnsupported, "test 'sameas' of a {} is not supported", type_name(value));
  }
  if (value.kind() != other.kind()) return false;
  return value.is(Kind::kNone) || value.as_bool() == other.as_bool();
}

bool is_multiple(Budget& budget, const Value& value, const Value& number, int64_t rest) {
  return equal(budget, arithmetic(budget, ExprKind::kModulo, value, number), Value::integer(rest));
}

bool is_callable(const Value& value) {
  return value.is(Kind::kMacro) || value.is(Kind::kMethod) || value.is(Kind::kFunction) ||
         value.is(Kind::kLoop) || value.is_undefined();
}

bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is_string() || value.is(Kind::kDict) ||
         (value.has_items() && !value.is(Kind::kView));
}

// Tests of the value's type, which take no argument.
std::optional<bool> type_test(const std::string& name, const Value& value) {
  if (name == "defined") return !value.is_undefined();
  if (name == "undefined") return value.is_undefined();
  if (name == "none") return value.is(Kind::kNone);
  if (name == "boolean") return value.is(Kind::kBool);
  if (name == "true") return value.is(Kind::kBool) && value.as_bool();
  if (name == "false") return value.is(Kind::kBool) && !value.as_bool();
  if (name == "integer") return value.is(Kind::kInt);
  if (name == "float") return value.is(Kind::kFloat);
  if (name == "number") return value.is_number();
  if (name == "string") return value.is_string();
  if (name == "mapping") return value.is(Kind::kDict);
  if (name == "iterable") return is_iterable(value);
  if (name == "sequence") return is_sequence(value);
  if (name == "callable") return is_callable(value);
  return std::nullopt;
}

}  // namespace

bool apply_test(Budget& budget, const std::string& name, const Value& value,
                const Arguments& arguments) {
  budget.step();
  if (const std::optional<bool> result = type_test(name, value)) {
    bind(name, arguments, {});
    return *result;
  }
  if (name == "lower" || name == "upper") {
    bind(name, arguments, {});
    const std::string text = to_str(budget, value);
    budget.read(text.size());
    return has_only_case(text, name == "upper");
  }
  if (name == "odd" || name == "even") {
    bind(name, arguments, {});
    return is_multiple(budget, value, Value::integer(2), name == "odd" ? 1 : 0);
  }
  const std::optional<CompareOp> op = comparison(name);
  if (!op && name != "divisibleby" && name != "sameas") {
    fail(ErrorCode::kUnsupported, "test '{}' is not supported", name);
  }
  const auto bound = bind(name, arguments, {"other"});
  if (!bound[0]) fail(ErrorCode::kInvalidArgument, "test '{}' needs an argument", name);
  if (name == "divisibleby") return is_multiple(budget, value, *bound[0], 0);
  if (name == "sameas") return is_same(value, *bound[0]);
  return compare_with(budget, *op, value, *bound[0]);
}

}  // namespace llava::text::jinja
