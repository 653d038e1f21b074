// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/compare.h"

#include <algorithm>
#include <cmath>

#include "llava/core/error.h"
#include "llava/text/chat_template/budget.h"

namespace llava::text::jinja {
namespace {

template <class T>
Order order_of(const T& left, const T& right) {
  if (left < right) return Order::kLess;
  if (right < left) return Order::kGreater;
  return left == right ? Order::kEqual : Order::kUnordered;
}

Order reversed(Order order) {
  if (order == Order::kLess) return Order::kGreater;
  if (order == Order::kGreater) return Order::kLess;
  return order;
}

// 2^63, the first double above every int64.
constexpr double kAboveInt64 = 9223372036854775808.0;

Order compare_int_with_double(int64_t left, double right) {
  if (std::isnan(right)) return Order::kUnordered;
  if (right >= kAboveInt64) return Order::kLess;
  if (right < -kAboveInt64) return Order::kGreater;
  const auto whole = static_cast<int64_t>(right);
  const Order order = order_of(left, whole);
  return order != Order::kEqual ? order : order_of(static_cast<double>(whole), right);
}

}  // namespace

Order compare_numbers(const Value& left, const Value& right) {
  if (left.is_integral() && right.is_integral()) return order_of(left.as_int(), right.as_int());
  if (left.is_integral()) return compare_int_with_double(left.as_int(), right.as_double());
  if (right.is_integral()) {
    return reversed(compare_int_with_double(right.as_int(), left.as_double()));
  }
  return order_of(left.as_double(), right.as_double());
}

Order compare(Budget& budget, const Value& left, const Value& right) {
  budget.step();
  for (const Value* side : {&left, &right}) {
    if (side->is_undefined()) fail(ErrorCode::kInvalidArgument, "{}", side->as_string());
  }
  if (left.is_number() && right.is_number()) return compare_numbers(left, right);
  // UTF-8 sorts as code points do.
  if (left.is_string() && right.is_string()) {
    budget.read(std::min(left.as_string().size(), right.as_string().size()));
    return order_of(left.as_string(), right.as_string());
  }
  const bool has_order = left.is(Kind::kList) || left.is(Kind::kTuple);
  if (!has_order || left.kind() != right.kind()) {
    fail(ErrorCode::kInvalidArgument, "values of type {} and {} have no order", type_name(left),
         type_name(right));
  }
  const auto& a = left.items();
  const auto& b = right.items();
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!equal(budget, a[i], b[i])) return compare(budget, a[i], b[i]);
  }
  return order_of(a.size(), b.size());
}

}  // namespace llava::text::jinja
