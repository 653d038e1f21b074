// SPDX-License-Identifier: Apache-2.0
//
// The filters over the items of a value. What the published renderer does lazily is done at once
// here; a generator that is used in part and then again is refused (operations.h, iterate).
#include <algorithm>
#include <array>
#include <cmath>

#include "llava/text/chat_template/compare.h"
#include "llava/text/chat_template/filters.h"
#include "llava/text/chat_template/operations.h"
#include "llava/text/chat_template/tests.h"
#include "llava/text/chat_template/text_form.h"
#include "llava/text/python_text.h"

namespace llava::text::jinja {
namespace {

// Reads a.b.0 of an item, as the filters' `attribute` argument says.
class AttributePath {
 public:
  explicit AttributePath(const std::optional<Value>& attribute) {
    if (!attribute || attribute->is(Kind::kNone)) return;
    if (!attribute->is_string()) {
      parts_.push_back(*attribute);
      return;
    }
    std::string_view rest = attribute->as_string();
    while (true) {
      const size_t dot = rest.find('.');
      parts_.push_back(part(rest.substr(0, dot)));
      if (dot == std::string_view::npos) return;
      rest.remove_prefix(dot + 1);
    }
  }

  Value read(Budget& budget, Value item, const std::optional<Value>& default_value = {}) const {
    for (const Value& part : parts_) {
      item = get_item(budget, item, part);
      const bool has_default = default_value && !default_value->is(Kind::kNone);
      if (has_default && item.is_undefined()) item = *default_value;
    }
    return item;
  }

 private:
  static Value part(std::string_view text) {
    const bool is_index =
        !text.empty() && text.size() < 10 &&
        std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (is_index) return Value::integer(std::stoll(std::string(text)));
    return Value::string(std::string(text));
  }

  std::vector<Value> parts_;
};

Value without_case(const Value& value, bool is_case_sensitive) {
  if (is_case_sensitive || !value.is_string()) return value;
  return Value::string(to_lower(value.as_string()));
}

bool flag(const std::optional<Value>& value) { return value && is_true(*value); }

Arguments rest_of(const Arguments& arguments, size_t skip) {
  Arguments rest;
  rest.positional.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(skip),
                         arguments.positional.end());
  rest.keywords = arguments.keywords;
  return rest;
}

// A generator of what `fill` appends. The published renderer runs it when the generator is used, so
// what Python would raise is kept until then.
template <class Fill>
Value generate(const Fill& fill) {
  std::vector<Value> out;
  std::string error;
  try {
    fill(out);
  } catch (const Error& raised) {
    if (raised.code() != ErrorCode::kInvalidArgument) throw;
    error = raised.what();
  }
  return Value::generator(std::move(out), std::move(error));
}

// The items that a generator will go through. One below it is not used up yet in the published
// renderer, but must not be used again.
std::vector<Value> iterate_later(Budget& budget, const Value& value) {
  if (!value.is(Kind::kGenerator)) return iterate(budget, value);
  Generator& generator = value.as_generator();
  const bool is_empty = generator.is_used_up;
  std::vector<Value> items = iterate(budget, value);
  generator.is_cut = !is_empty;
  return items;
}

void map_items(Budget& budget, const Value& value, const Arguments& arguments,
               std::vector<Value>& out) {
  if (!is_true(value)) return;
  if (arguments.positional.empty() && !arguments.keywords.empty()) {
    const auto bound = bind("map", arguments, {"attribute", "default"});
    if (!bound[0]) fail(ErrorCode::kInvalidArgument, "map requires a filter argument");
    const AttributePath path(bound[0]);
    for (const Value& item : iterate_later(budget, value)) {
      out.push_back(path.read(budget, item, bound[1]));
    }
    return;
  }
  if (arguments.positional.empty()) {
    fail(ErrorCode::kInvalidArgument, "map requires a filter argument");
  }
  const std::string& name = require_string("map", arguments.positional[0]);
  const Arguments rest = rest_of(arguments, 1);
  for (const Value& item : iterate_later(budget, value)) {
    out.push_back(apply_filter(budget, name, item, rest));
  }
}

void select_items(Budget& budget, const std::string& name, const Value& value,
                  const Arguments& arguments, std::vector<Value>& out) {
  if (!is_true(value)) return;
  const bool has_attribute = name == "selectattr" || name == "rejectattr";
  const bool is_rejecting = name == "reject" || name == "rejectattr";
  const size_t offset = has_attribute ? 1 : 0;
  if (arguments.positional.size() < offset) {
    fail(ErrorCode::kInvalidArgument, "Missing parameter for attribute name");
  }
  const AttributePath path(has_attribute ? std::optional<Value>(arguments.positional[0])
                                         : std::nullopt);
  const bool has_test = arguments.positional.size() > offset;
  const Arguments rest = has_test ? rest_of(arguments, offset + 1) : Arguments{};
  for (const Value& item : iterate_later(budget, value)) {
    const Value subject = path.read(budget, item);
    const bool passes =
        has_test
            ? apply_test(budget, require_string(name, arguments.positional[offset]), subject, rest)
            : is_true(subject);
    if (passes != is_rejecting) out.push_back(item);
  }
}

// A sort key: the values of one or more attributes.
using SortKey = std::vector<Value>;

bool is_before(Budget& budget, const SortKey& left, const SortKey& right) {
  for (size_t i = 0; i < left.size(); ++i) {
    if (equal(budget, left[i], right[i])) continue;
    const Order order = compare(budget, left[i], right[i]);
    if (order == Order::kUnordered) {
      fail(ErrorCode::kUnsupported, "sorting 'nan' is not supported");
    }
    return order == Order::kLess;
  }
  return false;
}

// Stable, also when reversed, as Python sorts.
std::vector<Value> sorted(Budget& budget, std::vector<std::pair<SortKey, Value>> keyed,
                          bool is_reversed) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return is_reversed ? is_before(budget, b.first, a.first) : is_before(budget, a.first, b.first);
  });
  std::vector<Value> out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return out;
}

Value sort_items(Budget& budget, const Value& value, const Arguments& arguments) {
  const auto bound = bind("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<AttributePath> paths;
  if (bound[2] && bound[2]->is_string()) {
    std::string_view rest = bound[2]->as_string();
    for (size_t comma = 0; comma != std::string_view::npos; rest.remove_prefix(comma + 1)) {
      comma = rest.find(',');
      paths.emplace_back(Value::string(std::string(rest.substr(0, comma))));
      if (comma == std::string_view::npos) break;
    }
  } else {
    paths.emplace_back(bound[2]);
  }
  std::vector<std::pair<SortKey, Value>> keyed;
  for (const Value& item : iterate(budget, value)) {
    SortKey key;
    for (const AttributePath& path : paths) {
      key.push_back(without_case(path.read(budget, item), flag(bound[1])));
    }
    keyed.emplace_back(std::move(key), item);
  }
  return budget.sequence(Kind::kList, sorted(budget, std::move(keyed), flag(bound[0])));
}

Value sort_dict(Budget& budget, const Value& value, const Arguments& arguments) {
  const auto bound = bind("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = bound[1] ? require_string("dictsort", *bound[1]) : "key";
  if (by != "key" && by != "value") {
    fail(ErrorCode::kInvalidArgument, "You can only sort by either \"key\" or \"value\"");
  }
  if (!value.is(Kind::kDict)) {
    fail(ErrorCode::kInvalidArgument, "'{}' object has no attribute 'items'", type_name(value));
  }
  std::vector<std::pair<SortKey, Value>> keyed;
  for (const auto& [key, item] : value.as_dict().items) {
    budget.step();
    keyed.emplace_back(SortKey{without_case(by == "key" ? key : item, flag(bound[0]))},
                       Value::sequence(Kind::kTuple, {key, item}));
  }
  return budget.sequence(Kind::kList, sorted(budget, std::move(keyed), flag(bound[2])));
}

void unique_items(Budget& budget, const Value& value, const Arguments& arguments,
                  std::vector<Value>& out) {
  const auto bound = bind("unique", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(bound[1]);
  std::vector<Value> keys;
  for (const Value& item : iterate_later(budget, value)) {
    Value key = without_case(path.read(budget, item), flag(bound[0]));
    if (key.is(Kind::kList) || key.is(Kind::kDict)) {
      fail(ErrorCode::kInvalidArgument, "unhashable type: '{}'", type_name(key));
    }
    const bool is_seen = std::any_of(keys.begin(), keys.end(),
                                     [&](const Value& own) { return equal(budget, own, key); });
    if (is_seen) continue;
    keys.push_back(std::move(key));
    out.push_back(item);
  }
}

Value extreme(Budget& budget, const std::string& name, const Value& value,
              const Arguments& arguments) {
  const auto bound = bind(name, arguments, {"case_sensitive", "attribute"});
  const AttributePath path(bound[1]);
  std::optional<Value> best;
  Value best_key;
  for (const Value& item : iterate(budget, value)) {
    Value key = without_case(path.read(budget, item), flag(bound[0]));
    const Order wanted = name == "min" ? Order::kLess : Order::kGreater;
    if (best && compare(budget, key, best_key) != wanted) continue;
    best = item;
    best_key = std::move(key);
  }
  return best.value_or(Value::undefined("No aggregated item, sequence was empty."));
}

Value sum_items(Budget& budget, const Value& value, const Arguments& arguments) {
  const auto bound = bind("sum", arguments, {"attribute", "start"});
  const AttributePath path(bound[0]);
  Value total = bound[1].value_or(Value::integer(0));
  for (const Value& item : iterate(budget, value)) {
    const Value term = path.read(budget, item);
    if (total.is_string() || term.is(Kind::kFloat) || total.is(Kind::kFloat)) {
      fail(ErrorCode::kUnsupported, "sum of a {} is not supported",
           type_name(total.is_string() ? total : term));
    }
    total = arithmetic(budget, ExprKind::kAdd, total, term);
  }
  return total;
}

Value join_items(Budget& budget, const Value& value, const Arguments& arguments) {
  const auto bound = bind("join", arguments, {"d", "attribute"});
  const std::string separator = bound[0] ? to_str(budget, *bound[0]) : "";
  const AttributePath path(bound[1]);
  std::string out;
  bool is_first = true;
  for (const Value& item : iterate(budget, value)) {
    const std::string text = to_str(budget, path.read(budget, item));
    budget.charge(separator.size() + text.size());
    if (!is_first) out += separator;
    is_first = false;
    out += text;
  }
  return Value::string(std::move(out));
}

Value first_item(Budget& budget, const Value& value) {
  if (value.is(Kind::kGenerator)) {
    Generator& generator = value.as_generator();
    if (!generator.is_used_up && !generator.items.empty()) {
      cut(generator);
      return generator.items.front();
    }
  }
  const std::vector<Value> items = iterate(budget, value);
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value last_item(Budget& budget, const Value& value) {
  if (value.is(Kind::kGenerator) || !is_iterable(value)) {
    fail(ErrorCode::kInvalidArgument, "'{}' object is not reversible", type_name(value));
  }
  const std::vector<Value> items = iterate(budget, value);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value reversed(Budget& budget, const Value& value) {
  std::vector<Value> items = iterate(budget, value);
  std::reverse(items.begin(), items.end());
  if (value.is_string()) {
    std::string out;
    for (const Value& item : items) out += item.as_string();
    return Value::string(std::move(out));
  }
  // A list where Python copies what it cannot walk backwards, else an iterator.
  if (value.is(Kind::kGenerator)) return budget.sequence(Kind::kList, std::move(items));
  return Value::generator(std::move(items));
}

void dict_items(Budget& budget, const Value& value, std::vector<Value>& out) {
  if (value.is_undefined()) return;
  if (!value.is(Kind::kDict)) {
    fail(ErrorCode::kInvalidArgument, "Can only get item pairs from a mapping.");
  }
  for (const auto& [key, item] : value.as_dict().items) {
    budget.step();
    out.push_back(Value::sequence(Kind::kTuple, {key, item}));
  }
}

}  // namespace

std::optional<Value> apply_item_filter(Budget& budget, const std::string& name, const Value& value,
                                       const Arguments& arguments) {
  using Items = std::vector<Value>;
  if (name == "map") {
    return generate([&](Items& out) { map_items(budget, value, arguments, out); });
  }
  if (name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr") {
    return generate([&](Items& out) { select_items(budget, name, value, arguments, out); });
  }
  if (name == "sort") return sort_items(budget, value, arguments);
  if (name == "dictsort") return sort_dict(budget, value, arguments);
  if (name == "unique") {
    return generate([&](Items& out) { unique_items(budget, value, arguments, out); });
  }
  if (name == "min" || name == "max") return extreme(budget, name, value, arguments);
  if (name == "sum") return sum_items(budget, value, arguments);
  if (name == "join") return join_items(budget, value, arguments);
  static constexpr std::array<std::string_view, 5> kPlain = {"first", "last", "reverse", "items",
                                                             "list"};
  if (std::find(kPlain.begin(), kPlain.end(), name) == kPlain.end()) return std::nullopt;
  bind(name, arguments, {});
  if (name == "first") return first_item(budget, value);
  if (name == "last") return last_item(budget, value);
  if (name == "reverse") return reversed(budget, value);
  if (name == "items") return generate([&](Items& out) { dict_items(budget, value, out); });
  return budget.sequence(Kind::kList, iterate(budget, value));
}

}  // namespace llava::text::jinja
