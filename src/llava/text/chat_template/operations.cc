// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/operations.h"

#include <algorithm>

#include "llava/text/chat_template/compare.h"
#include "llava/text/chat_template/loop.h"
#include "llava/text/chat_template/python_types.h"
#include "llava/text/chat_template/text_form.h"
#include "llava/text/python_text.h"

namespace llava::text::jinja {
namespace {

bool contains_item(Budget& budget, const std::vector<Value>& items, const Value& item) {
  return std::any_of(items.begin(), items.end(),
                     [&](const Value& own) { return equal(budget, own, item); });
}

bool is_hashable(const Value& value) {
  return !value.is(Kind::kList) && !value.is(Kind::kDict) && !value.is(Kind::kNamespace);
}

Value missing(const Value& object, const std::string& name) {
  return Value::undefined(
      fmt::format("'{} object' has no attribute '{}'", type_name(object), name));
}

// A method of Python's, or nothing where the type has no such attribute.
std::optional<Value> own_attribute(const Value& object, const std::string& name) {
  if (object.is(Kind::kNamespace)) {
    for (const auto& [own, value] : object.as_namespace().attributes) {
      if (own == name) return value;
    }
    return std::nullopt;
  }
  switch (attribute_kind(object, name)) {
    case AttributeKind::kMethod:
      return Value::method(object, name);
    case AttributeKind::kForbidden:
      return Value::undefined(fmt::format("access to attribute '{}' of '{}' object is unsafe.",
                                          name, type_name(object)));
    case AttributeKind::kUnsupported:
      fail(ErrorCode::kUnsupported, "attribute '{}' of a {} is not supported", name,
           type_name(object));
    case AttributeKind::kNone:
      break;
  }
  if (object.is(Kind::kLoop)) return object.as_loop().attribute(name);
  return std::nullopt;
}

const Value* item_at(const std::vector<Value>& items, int64_t index) {
  const auto size = static_cast<int64_t>(items.size());
  if (index < 0) index += size;
  return index < 0 || index >= size ? nullptr : &items[static_cast<size_t>(index)];
}

std::optional<Value> character_at(const std::string& text, int64_t index) {
  if (index < 0) index += static_cast<int64_t>(count_code_points(text));
  if (index < 0 || index >= static_cast<int64_t>(text.size())) return std::nullopt;
  const size_t begin = byte_offset_of(text, static_cast<size_t>(index));
  if (begin >= text.size()) return std::nullopt;
  size_t end = begin;
  next_code_point(text, end);
  return Value::string(text.substr(begin, end - begin));
}

std::optional<Value> own_item(Budget& budget, const Value& object, const Value& key) {
  if (object.is(Kind::kDict)) {
    const Value* found = is_hashable(key) ? object.find(budget, key) : nullptr;
    return found != nullptr ? std::optional<Value>(*found) : std::nullopt;
  }
  if (!key.is_integral()) return std::nullopt;
  if (object.is_string()) {
    budget.read(object.as_string().size());
    return character_at(object.as_string(), key.as_int());
  }
  if (object.has_items() && !object.is(Kind::kView)) {
    const Value* found = item_at(object.items(), key.as_int());
    return found != nullptr ? std::optional<Value>(*found) : std::nullopt;
  }
  return std::nullopt;
}

[[noreturn]] void refuse_cut() {
  fail(ErrorCode::kUnsupported,
       "going on with a generator after a part of it was used is not supported: make it a list");
}

// What a generator gives when it is gone through to its end.
const std::vector<Value>& remaining(const Generator& generator) {
  if (!generator.error.empty()) fail(ErrorCode::kInvalidArgument, "{}", generator.error);
  return generator.items;
}

struct SliceRange {
  int64_t start;
  int64_t stop;
  int64_t step;
};

// Python's slice.indices().
SliceRange slice_range(const Value& start, const Value& stop, const Value& step, int64_t size) {
  const int64_t by = step.is(Kind::kNone) ? 1 : step.as_int();
  if (by == 0) fail(ErrorCode::kInvalidArgument, "slice step cannot be zero");
  const int64_t low = by < 0 ? -1 : 0;
  const int64_t high = by < 0 ? size - 1 : size;
  const auto clamped = [&](const Value& bound, int64_t absent) {
    if (bound.is(Kind::kNone)) return absent;
    const int64_t value = bound.as_int() < 0 ? bound.as_int() + size : bound.as_int();
    return std::clamp(value, low, high);
  };
  return {clamped(start, by < 0 ? high : low), clamped(stop, by < 0 ? low : high), by};
}

template <class Take>
void for_each_index(const SliceRange& range, const Take& take) {
  for (int64_t i = range.start; range.step > 0 ? i < range.stop : i > range.stop;) {
    take(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, range.step, &i)) return;
  }
}

}  // namespace

void require_defined(const Value& value) {
  if (value.is_undefined()) fail(ErrorCode::kInvalidArgument, "{}", value.as_string());
}

bool compare_with(Budget& budget, CompareOp op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOp::kEqual:
      return equal(budget, left, right);
    case CompareOp::kNotEqual:
      return !equal(budget, left, right);
    case CompareOp::kIn:
      return contains(budget, right, left);
    case CompareOp::kNotIn:
      return !contains(budget, right, left);
    default:
      break;
  }
  const Order order = compare(budget, left, right);
  switch (op) {
    case CompareOp::kLess:
      return order == Order::kLess;
    case CompareOp::kLessEqual:
      return order == Order::kLess || order == Order::kEqual;
    case CompareOp::kGreater:
      return order == Order::kGreater;
    default:
      return order == Order::kGreater || order == Order::kEqual;
  }
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kString:
      if (!item.is_string()) {
        fail(ErrorCode::kInvalidArgument, "'in <string>' requires string as left operand, not {}",
             type_name(item));
      }
      budget.read(container.as_string().size());
      return container.as_string().find(item.as_string()) != std::string::npos;
    case Kind::kDict:
      if (!is_hashable(item)) {
        fail(ErrorCode::kInvalidArgument, "unhashable type: '{}'", type_name(item));
      }
      return container.find(budget, item) != nullptr;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kRange:
      return contains_item(budget, container.items(), item);
    case Kind::kGenerator: {
      Generator& generator = container.as_generator();
      const bool is_found = !generator.is_used_up && contains_item(budget, generator.items, item);
      if (is_found) {
        cut(generator);
      } else {
        iterate(budget, container);
      }
      return is_found;
    }
    default:
      fail(ErrorCode::kInvalidArgument, "argument of type '{}' is not iterable",
           type_name(container));
  }
}

Value get_attribute(const Value& object, const std::string& name) {
  require_defined(object);
  if (std::optional<Value> own = own_attribute(object, name)) return *std::move(own);
  if (object.is(Kind::kDict)) {
    if (const Value* item = object.find(name)) return *item;
  }
  return missing(object, name);
}

Value get_item(Budget& budget, const Value& object, const Value& key) {
  require_defined(object);
  if (std::optional<Value> item = own_item(budget, object, key)) return *std::move(item);
  if (key.is_string()) {
    if (std::optional<Value> own = own_attribute(object, key.as_string())) return *std::move(own);
    return missing(object, key.as_string());
  }
  return Value::undefined(
      fmt::format("{} object has no element {}", type_name(object), to_str(budget, key)));
}

Value get_slice(Budget& budget, const Value& object, const Value& start, const Value& stop,
                const Value& step) {
  require_defined(object);
  for (const Value* part : {&start, &stop, &step}) {
    if (!part->is(Kind::kNone) && !part->is_integral()) {
      fail(ErrorCode::kInvalidArgument, "slice indices must be integers or None, not {}",
           type_name(*part));
    }
  }
  if (object.is_string()) {
    const std::string& text = object.as_string();
    std::vector<size_t> offsets;
    budget.charge(text.size() * sizeof(size_t));
    for (size_t offset = 0; offset < text.size(); next_code_point(text, offset)) {
      offsets.push_back(offset);
    }
    const auto size = static_cast<int64_t>(offsets.size());
    offsets.push_back(text.size());
    std::string out;
    for_each_index(slice_range(start, stop, step, size),
                   [&](size_t i) { out += text.substr(offsets[i], offsets[i + 1] - offsets[i]); });
    return Value::string(std::move(out));
  }
  if (object.is(Kind::kList) || object.is(Kind::kTuple)) {
    const std::vector<Value>& items = object.items();
    std::vector<Value> out;
    for_each_index(slice_range(start, stop, step, static_cast<int64_t>(items.size())),
                   [&](size_t i) { out.push_back(items[i]); });
    return budget.sequence(object.kind(), std::move(out));
  }
  if (object.is(Kind::kRange)) {
    fail(ErrorCode::kUnsupported, "a slice of a range is not supported");
  }
  fail(ErrorCode::kInvalidArgument, "'{}' object is not subscriptable", type_name(object));
}

void cut(Generator& generator) {
  if (generator.is_cut) refuse_cut();
  if (!generator.is_used_up) generator.is_cut = true;
}

bool is_iterable(const Value& value) {
  return value.has_items() || value.is_undefined() || value.is_string() || value.is(Kind::kDict) ||
         value.is(Kind::kGenerator) || value.is(Kind::kLoop);
}

std::vector<Value> iterate(Budget& budget, const Value& value) {
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::kUndefined:
      break;
    case Kind::kString:
      budget.charge(value.as_string().size() * sizeof(Value));
      for (size_t offset = 0; offset < value.as_string().size();) {
        const size_t begin = offset;
        next_code_point(value.as_string(), offset);
        items.push_back(Value::string(value.as_string().substr(begin, offset - begin)));
      }
      break;
    case Kind::kDict:
      for (const auto& [key, item] : value.as_dict().items) items.push_back(key);
      break;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kRange:
      budget.charge(value.items().size() * sizeof(Value));
      items = value.items();
      break;
    case Kind::kGenerator: {
      Generator& generator = value.as_generator();
      if (generator.is_cut) refuse_cut();
      if (!generator.is_used_up) items = remaining(generator);
      generator.is_used_up = true;
      break;
    }
    case Kind::kLoop:
      fail(ErrorCode::kUnsupported, "iterating over 'loop' is not supported");
    default:
      fail(ErrorCode::kInvalidArgument, "'{}' object is not iterable", type_name(value));
  }
  budget.step(static_cast<int64_t>(items.size()));
  return items;
}

int64_t length_of(Budget& budget, const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_string()) {
    budget.read(value.as_string().size());
    return static_cast<int64_t>(count_code_points(value.as_string()));
  }
  if (value.has_items()) return static_cast<int64_t>(value.items().size());
  if (value.is(Kind::kDict)) return static_cast<int64_t>(value.as_dict().items.size());
  fail(ErrorCode::kInvalidArgument, "object of type '{}' has no len()", type_name(value));
}

void set_entry(std::vector<std::pair<Value, Value>>& items, Value key, Value value) {
  for (auto& [own, old] : items) {
    if (own.is_string() && key.is_string() && own.as_string() == key.as_string()) {
      old = std::move(value);
      return;
    }
  }
  items.emplace_back(std::move(key), std::move(value));
}

}  // namespace llava::text::jinja
