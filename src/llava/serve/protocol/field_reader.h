// SPDX-License-Identifier: Apache-2.0
//
// Typed reading of a request's JSON. Null is absent; every error names the field's path, what was
// expected and what was found, as an ApiError of status 400.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"

namespace llava::serve {

/// Parses a request's body: an object, nested at most 64 deep.
///
/// Throws: ApiError 400 `invalid_json`.
OrderedJson parse_body(std::string_view body);

/// "a string", "null", ... for messages.
std::string_view json_type_name(const OrderedJson& value);

/// The token ids of a list; `path` names it in messages.
///
/// Throws: ApiError 400 for anything else in it.
std::vector<int32_t> read_ids(const OrderedJson& list, const std::string& path);

/// One object of a request.
///
/// Threads: one thread at a time.
class FieldReader {
 public:
  /// Keeps a reference to `object`. `path` is put before names in messages: "messages[0].".
  FieldReader(const OrderedJson& object, std::string path);

  /// The member, or null when it is absent or null. Counts as known from then on.
  const OrderedJson* find(std::string_view name);
  bool has(std::string_view name) { return find(name) != nullptr; }

  std::optional<bool> get_bool(std::string_view name);
  std::optional<int64_t> get_int(std::string_view name, int64_t low, int64_t high);
  /// Finite numbers only.
  std::optional<double> get_number(std::string_view name, double low, double high);
  std::optional<std::string> get_string(std::string_view name);
  /// A string, or a list of strings.
  std::optional<std::vector<std::string>> get_strings(std::string_view name);
  std::optional<std::vector<int32_t>> get_ids(std::string_view name);

  /// Notes names that are accepted and do nothing.
  void ignore(std::initializer_list<std::string_view> names);
  /// Members that nobody asked for.
  std::vector<std::string> unknown() const;

  /// The path of a member, for messages.
  std::string path_of(std::string_view name) const { return path_ + std::string(name); }
  [[noreturn]] void wrong_type(std::string_view name, std::string_view expected) const;

 private:
  const OrderedJson& object_;
  std::string path_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace llava::serve
