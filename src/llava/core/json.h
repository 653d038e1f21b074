// SPDX-License-Identifier: Apache-2.0
//
// The one place where the JSON library is wrapped: parsing of untrusted text with limits, and typed
// access whose errors name the file and the key. Headers that only mention Json include
// <nlohmann/json_fwd.hpp> instead.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llava {

using Json = nlohmann::json;
/// Keeps the order of the keys, for output and for files whose order carries meaning.
using OrderedJson = nlohmann::ordered_json;

/// Deepest nesting accepted from outside.
inline constexpr int kMaxJsonDepth = 100;

/// Parses JSON text. `source` names it in messages (a path or "request body").
///
/// Throws: Error(kBadFormat) with the byte offset for malformed text, invalid UTF-8, duplicate keys
/// in one object, or nesting deeper than kMaxJsonDepth.
Json parse_json(std::string_view text, std::string_view source);

/// The same, keeping the order of the keys. Looking up keys takes time in proportion to their
/// number.
OrderedJson parse_ordered_json(std::string_view text, std::string_view source);

/// The same for recipes: // and /* comments are skipped.
OrderedJson parse_recipe(std::string_view text, std::string_view source);

/// Reads and parses a JSON file of at most `max_bytes`.
///
/// Throws: Error(kNotFound) or Error(kBadFormat), naming the file.
Json read_json_file(const std::filesystem::path& path, uint64_t max_bytes = 256u << 20);

/// Text of a value with invalid UTF-8 replaced; `indent` < 0 gives one line, also for readers that
/// split at Unicode's line ends.
std::string to_text(const Json& value, int indent = -1);
std::string to_text(const OrderedJson& value, int indent = -1);

/// Typed reading of one JSON object. Absent and null keys are "not set". Every error is
/// kBadFormat and names the source, the key, the expected type and the type found.
class JsonObject {
 public:
  /// Throws: Error(kBadFormat) if `value` is not an object. Keeps references to both arguments.
  JsonObject(const Json& value, std::string_view source);

  bool has(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<int64_t> get_int(std::string_view key) const;
  std::optional<double> get_number(std::string_view key) const;
  std::optional<std::string> get_string(std::string_view key) const;
  std::optional<std::vector<int64_t>> get_int_list(std::string_view key) const;
  std::optional<std::vector<double>> get_number_list(std::string_view key) const;
  std::optional<std::vector<std::string>> get_string_list(std::string_view key) const;
  /// The member itself, or null when it is not set.
  const Json* find(std::string_view key) const;
  /// Throws Error(kBadFormat): "<source>: key '<key>' is <found>, expected <expected>".
  [[noreturn]] void wrong_type(std::string_view key, std::string_view expected) const;

  const Json& json() const { return *value_; }
  const std::string& source() const { return source_; }

 private:
  const Json* value_;
  std::string source_;
};

}  // namespace llava
