// SPDX-License-Identifier: Apache-2.0
//
// The visitor that turns a configuration struct's `describe` member into a list of command-line
// fields. The list is type-erased so that only command_line.cc includes the parser library.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "llava/core/config.h"

namespace llava::app {

/// Where a flag's value goes.
using FieldTarget =
    std::variant<bool*, int32_t*, int64_t*, uint64_t*, float*, double*, std::string*,
                 std::optional<std::string>*, std::optional<int32_t>*, std::optional<uint64_t>*,
                 std::optional<float>*, std::optional<double>*, std::optional<bool>*,
                 std::vector<std::string>*>;

/// One flag of a subcommand. Names are written with hyphens; underscores are accepted as well.
struct Field {
  std::string name;
  std::string help;
  FieldTarget target;
  /// Throws Error(kInvalidArgument) when the value given does not satisfy the constraint.
  std::function<void()> check = [] {};
  bool is_required = false;
  bool is_positional = false;
};

/// Collects fields: `v.field("temperature", temperature, "0 chooses ...", at_least(0.0f))`.
class FieldList {
 public:
  template <class T>
  void field(std::string name, T& value, std::string help, Constraint<T> constraint = {}) {
    Field entry{.name = name, .help = std::move(help), .target = &value};
    if constexpr (fmt::is_formattable<T>::value) {
      entry.check = [name, &value, constraint] { check_value(name, value, constraint); };
    }
    add(std::move(entry));
  }

  template <class T>
  void field(std::string name, std::optional<T>& value, std::string help,
             Constraint<T> constraint = {}) {
    add({.name = name,
         .help = std::move(help),
         .target = &value,
         .check = [name, &value, constraint] {
           if (value) check_value(name, *value, constraint);
         }});
  }

  template <class T>
  void required(std::string name, T& value, std::string help) {
    add({.name = std::move(name), .help = std::move(help), .target = &value, .is_required = true});
  }

  /// Values without a flag.
  void positional(std::string name, std::vector<std::string>& values, std::string help) {
    add({.name = std::move(name),
         .help = std::move(help),
         .target = &values,
         .is_positional = true});
  }

  const std::vector<Field>& fields() const { return fields_; }

 private:
  template <class T>
  static void check_value(const std::string& name, const T& value,
                          const Constraint<T>& constraint) {
    if (constraint.accepts(value)) return;
    fail(ErrorCode::kInvalidArgument, "--{} is {}, expected {}", name, value, constraint.expected);
  }

  void add(Field field) { fields_.push_back(std::move(field)); }

  std::vector<Field> fields_;
};

/// Flags whose values are not those of `others`, a list of the same fields; by name.
std::vector<std::string> changed_fields(const std::vector<Field>& fields,
                                        const std::vector<Field>& others);

/// "name value" of fields of one value, a line each; without those that have none.
std::string list_values(const std::vector<Field>& fields);

}  // namespace llava::app
