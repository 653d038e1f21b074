// SPDX-License-Identifier: Apache-2.0
//
// The values of a chat template: what Python objects are to the published renderer. Containers are
// immutable once built and know how deep they nest, so that no template can build one that is too
// deep to print or to free.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace llava::text::jinja {

class Budget;
class Value;
struct Statement;
class Loop;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kView,  ///< dict.items(), keys(), values()
  kRange,
  kGenerator,  ///< what select, map and their like return: always true, iterated once
  kNamespace,
  kLoop,
  kMacro,
  kMethod,    ///< a method of an object, not yet called
  kFunction,  ///< a global function
};

/// Deepest nesting of containers.
inline constexpr int kMaxValueDepth = 128;

/// Items of a list, tuple, view or range.
struct Sequence {
  std::vector<Value> items;
  int depth = 1;
};

/// A mapping in insertion order.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;
};

struct Generator {
  std::vector<Value> items;
  int depth = 1;
  bool is_used_up = false;
  /// Something took a part of it; what is left depends on laziness that is not reproduced.
  bool is_cut = false;
  /// What Python would raise after the last item; empty for nothing.
  std::string error = {};
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
};

struct Method;

class Value {
 public:
  /// Undefined; `reason` is the message of the error that using it gives.
  static Value undefined(std::string reason);
  static Value none() { return Value(Kind::kNone, std::monostate{}); }
  static Value boolean(bool value) { return Value(Kind::kBool, value); }
  static Value integer(int64_t value) { return Value(Kind::kInt, value); }
  static Value real(double value) { return Value(Kind::kFloat, value); }
  static Value string(std::string text);
  /// A list, tuple, view or range.
  ///
  /// Throws: Error(kBadFormat) beyond kMaxValueDepth; Error(kUnsupported) for an item that
  /// cannot be kept in a container here (namespaces, loops, methods).
  static Value sequence(Kind kind, std::vector<Value> items);
  /// Throws: as sequence().
  static Value dict(std::vector<std::pair<Value, Value>> items);
  /// Throws: as sequence().
  static Value generator(std::vector<Value> items, std::string error = {});
  static Value name_space(std::vector<std::pair<std::string, Value>> attributes);
  static Value loop(std::shared_ptr<Loop> loop);
  static Value macro(const Statement* definition) { return Value(Kind::kMacro, definition); }
  static Value method(Value object, std::string name);
  static Value function(std::string name);
  /// The value of a JSON document; keys keep their order.
  ///
  /// Throws: Error(kBadFormat) beyond kMaxValueDepth; Error(kUnsupported) for an integer
  /// beyond 64 bits.
  static Value from_json(const nlohmann::ordered_json& json);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_undefined() const { return kind_ == Kind::kUndefined; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_number() const {
    return kind_ == Kind::kBool || kind_ == Kind::kInt || kind_ == Kind::kFloat;
  }
  /// A bool or an int: Python's isinstance(x, int).
  bool is_integral() const { return kind_ == Kind::kBool || kind_ == Kind::kInt; }
  bool has_items() const {
    return kind_ == Kind::kList || kind_ == Kind::kTuple || kind_ == Kind::kView ||
           kind_ == Kind::kRange;
  }

  bool as_bool() const { return std::get<bool>(data_); }
  /// Of a bool or an int.
  int64_t as_int() const;
  /// Of a number.
  double as_double() const;
  /// Of a string; of an undefined value its reason.
  const std::string& as_string() const { return *std::get<Text>(data_); }
  const std::vector<Value>& items() const;
  const Dict& as_dict() const;
  Generator& as_generator() const;
  Namespace& as_namespace() const { return *std::get<std::shared_ptr<Namespace>>(data_); }
  Loop& as_loop() const { return *std::get<std::shared_ptr<Loop>>(data_); }
  const Statement* as_macro() const { return std::get<const Statement*>(data_); }
  const Method& as_method() const { return *std::get<std::shared_ptr<const Method>>(data_); }

  /// The entry of a mapping by key; null when there is none.
  const Value* find(Budget& budget, const Value& key) const;
  const Value* find(std::string_view key) const;

  /// Nesting of containers; 0 for anything else.
  int depth() const;

  Value() : kind_(Kind::kNone) {}

 private:
  using Text = std::shared_ptr<const std::string>;
  using Data = std::variant<std::monostate, bool, int64_t, double, Text,
                            std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
                            std::shared_ptr<Generator>, std::shared_ptr<Namespace>,
                            std::shared_ptr<Loop>, const Statement*, std::shared_ptr<const Method>>;

  Value(Kind kind, Data data) : kind_(kind), data_(std::move(data)) {}

  Kind kind_;
  Data data_;
};

struct Method {
  Value object;
  std::string name;
};

/// Python's truth value.
bool is_true(const Value& value);

/// Python's ==. Every pair looked at is a step of the budget.
///
/// Throws: Error(kUnsupported) for kinds that Python compares by identity.
bool equal(Budget& budget, const Value& left, const Value& right);

/// Python's name of a value's type, for messages: "str", "NoneType", ...
std::string_view type_name(const Value& value);

}  // namespace llava::text::jinja
