// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/value.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/chat_template/budget.h"
#include "llava/text/chat_template/compare.h"

namespace llava::text::jinja {
namespace {

int checked_depth(int deepest_item) {
  if (deepest_item >= kMaxValueDepth) {
    fail(ErrorCode::kBadFormat, "a value nests deeper than {} containers", kMaxValueDepth);
  }
  return deepest_item + 1;
}

int depth_of_item(const Value& value) {
  const Kind kind = value.kind();
  if (kind == Kind::kNamespace || kind == Kind::kLoop || kind == Kind::kMethod) {
    fail(ErrorCode::kUnsupported, "keeping a {} in a container is not supported", type_name(value));
  }
  return value.depth();
}

int depth_of_items(const std::vector<Value>& items) {
  int deepest = 0;
  for (const Value& item : items) deepest = std::max(deepest, depth_of_item(item));
  return checked_depth(deepest);
}

Value json_value(const nlohmann::ordered_json& json, int depth) {
  using Type = nlohmann::ordered_json::value_t;
  checked_depth(depth);
  switch (json.type()) {
    case Type::boolean:
      return Value::boolean(json.get<bool>());
    case Type::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        fail(ErrorCode::kUnsupported, "integer {} beyond 64 bits is not supported",
             json.get<uint64_t>());
      }
      return Value::integer(json.get<int64_t>());
    case Type::number_integer:
      return Value::integer(json.get<int64_t>());
    case Type::number_float:
      return Value::real(json.get<double>());
    case Type::string:
      return Value::string(json.get_ref<const std::string&>());
    case Type::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(json_value(item, depth + 1));
      return Value::sequence(Kind::kList, std::move(items));
    }
    case Type::object: {
      std::vector<std::pair<Value, Value>> items;
      items.reserve(json.size());
      for (const auto& [key, item] : json.items()) {
        items.emplace_back(Value::string(key), json_value(item, depth + 1));
      }
      return Value::dict(std::move(items));
    }
    default:
      return Value::none();
  }
}

}  // namespace

Value Value::undefined(std::string reason) {
  return Value(Kind::kUndefined, std::make_shared<const std::string>(std::move(reason)));
}

Value Value::string(std::string text) {
  return Value(Kind::kString, std::make_shared<const std::string>(std::move(text)));
}

Value Value::sequence(Kind kind, std::vector<Value> items) {
  const int depth = depth_of_items(items);
  return Value(kind, std::make_shared<const Sequence>(Sequence{std::move(items), depth}));
}

Value Value::dict(std::vector<std::pair<Value, Value>> items) {
  int deepest = 0;
  for (const auto& [key, value] : items) {
    deepest = std::max({deepest, depth_of_item(key), depth_of_item(value)});
  }
  const int depth = checked_depth(deepest);
  return Value(Kind::kDict, std::make_shared<const Dict>(Dict{std::move(items), depth}));
}

Value Value::generator(std::vector<Value> items, std::string error) {
  const int depth = depth_of_items(items);
  return Value(Kind::kGenerator,
               std::make_shared<Generator>(Generator{
                   .items = std::move(items), .depth = depth, .error = std::move(error)}));
}

Value Value::name_space(std::vector<std::pair<std::string, Value>> attributes) {
  for (const auto& [name, value] : attributes) depth_of_item(value);
  return Value(Kind::kNamespace, std::make_shared<Namespace>(Namespace{std::move(attributes)}));
}

Value Value::loop(std::shared_ptr<Loop> loop) { return Value(Kind::kLoop, std::move(loop)); }

Value Value::method(Value object, std::string name) {
  return Value(Kind::kMethod,
               std::make_shared<const Method>(Method{std::move(object), std::move(name)}));
}

Value Value::function(std::string name) {
  return Value(Kind::kFunction, std::make_shared<const std::string>(std::move(name)));
}

Value Value::from_json(const nlohmann::ordered_json& json) { return json_value(json, 0); }

int64_t Value::as_int() const {
  return kind_ == Kind::kBool ? static_cast<int64_t>(as_bool()) : std::get<int64_t>(data_);
}

double Value::as_double() const {
  return kind_ == Kind::kFloat ? std::get<double>(data_) : static_cast<double>(as_int());
}

const std::vector<Value>& Value::items() const {
  return std::get<std::shared_ptr<const Sequence>>(data_)->items;
}

const Dict& Value::as_dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }

Generator& Value::as_generator() const { return *std::get<std::shared_ptr<Generator>>(data_); }

const Value* Value::find(Budget& budget, const Value& key) const {
  for (const auto& [own, value] : as_dict().items) {
    if (equal(budget, own, key)) return &value;
  }
  return nullptr;
}

const Value* Value::find(std::string_view key) const {
  for (const auto& [own, value] : as_dict().items) {
    if (own.is_string() && own.as_string() == key) return &value;
  }
  return nullptr;
}

int Value::depth() const {
  if (has_items()) return std::get<std::shared_ptr<const Sequence>>(data_)->depth;
  if (kind_ == Kind::kDict) return as_dict().depth;
  if (kind_ == Kind::kGenerator) return as_generator().depth;
  return 0;
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.as_string().empty();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
    case Kind::kRange:
      return !value.items().empty();
    case Kind::kDict:
      return !value.as_dict().items.empty();
    case Kind::kLoop:
    case Kind::kGenerator:
    case Kind::kNamespace:
    case Kind::kMacro:
    case Kind::kMethod:
    case Kind::kFunction:
      return true;
  }
  return true;
}

bool equal(Budget& budget, const Value& left, const Value& right) {
  budget.step();
  if (left.is_number() && right.is_number()) return compare_numbers(left, right) == Order::kEqual;
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      budget.read(std::min(left.as_string().size(), right.as_string().size()));
      return left.as_string() == right.as_string();
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kRange:
      return std::equal(left.items().begin(), left.items().end(), right.items().begin(),
                        right.items().end(),
                        [&budget](const Value& a, const Value& b) { return equal(budget, a, b); });
    case Kind::kDict: {
      if (left.as_dict().items.size() != right.as_dict().items.size()) return false;
      return std::all_of(left.as_dict().items.begin(), left.as_dict().items.end(),
                         [&budget, &right](const auto& item) {
                           const Value* other = right.find(budget, item.first);
                           return other != nullptr && equal(budget, item.second, *other);
                         });
    }
    default:
      fail(ErrorCode::kUnsupported, "comparing two values of type {} is not supported",
           type_name(left));
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kView:
      return "dict view";
    case Kind::kRange:
      return "range";
    case Kind::kGenerator:
      return "generator";
    case Kind::kNamespace:
      return "namespace";
    case Kind::kLoop:
      return "loop";
    case Kind::kMacro:
      return "macro";
    case Kind::kMethod:
      return "method";
    case Kind::kFunction:
      return "function";
  }
  return "value";
}

}  // namespace llava::text::jinja
