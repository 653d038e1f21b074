// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/field_reader.h"

#include <cmath>
#include <utility>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

constexpr int kMaxDepth = 64;

void check_depth(const OrderedJson& value, int depth) {
  if (!value.is_structured()) return;
  if (depth > kMaxDepth) {
    throw ApiError(400, "invalid_json",
                   fmt::format("the request's body is nested deeper than {} levels", kMaxDepth));
  }
  for (const OrderedJson& member : value) check_depth(member, depth + 1);
}

}  // namespace

OrderedJson parse_body(std::string_view body) {
  OrderedJson parsed;
  try {
    parsed = parse_ordered_json(body, "the request's body");
  } catch (const Error& error) {
    throw ApiError(400, "invalid_json", error.what());
  }
  if (!parsed.is_object()) {
    throw ApiError(
        400, "invalid_json",
        fmt::format("the request's body is {}, expected an object", json_type_name(parsed)));
  }
  check_depth(parsed, 1);
  return parsed;
}

std::string_view json_type_name(const OrderedJson& value) {
  switch (value.type()) {
    case OrderedJson::value_t::null:
      return "null";
    case OrderedJson::value_t::object:
      return "an object";
    case OrderedJson::value_t::array:
      return "a list";
    case OrderedJson::value_t::string:
      return "a string";
    case OrderedJson::value_t::boolean:
      return "a boolean";
    default:
      return "a number";
  }
}

std::vector<int32_t> read_ids(const OrderedJson& list, const std::string& path) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const OrderedJson& item : list) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > static_cast<uint64_t>(INT32_MAX)) {
      fail_field(path, "expected a list of token ids, found {} in it", item.dump());
    }
    ids.push_back(item.get<int32_t>());
  }
  return ids;
}

FieldReader::FieldReader(const OrderedJson& object, std::string path)
    : object_(object), path_(std::move(path)) {
  if (object_.is_object()) return;
  std::string name = path_;
  while (name.ends_with('.')) name.pop_back();
  fail_field(name, "expected an object, found {}", json_type_name(object_));
}

const OrderedJson* FieldReader::find(std::string_view name) {
  known_.emplace(name);
  const auto found = object_.find(std::string(name));
  if (found == object_.end() || found->is_null()) return nullptr;
  return &*found;
}

void FieldReader::wrong_type(std::string_view name, std::string_view expected) const {
  fail_field(path_of(name), "expected {}, found {}", expected,
             json_type_name(object_.at(std::string(name))));
}

std::optional<bool> FieldReader::get_bool(std::string_view name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) wrong_type(name, "true or false");
  return value->get<bool>();
}

std::optional<int64_t> FieldReader::get_int(std::string_view name, int64_t low, int64_t high) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  const bool is_unsigned = value->is_number_unsigned();
  if (!is_unsigned && !value->is_number_integer()) {
    // 8.0 is a whole number too, as some clients write it.
    const double number = value->is_number_float() ? value->get<double>() : 0.5;
    if (number != std::floor(number) || std::abs(number) > 0x1p53) {
      wrong_type(name, "a whole number");
    }
    const auto whole = static_cast<int64_t>(number);
    if (whole >= low && whole <= high) return whole;
    fail_field(path_of(name), "expected {} to {}, found {}", low, high, whole);
  }
  const bool is_large = is_unsigned && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = is_large ? INT64_MAX : value->get<int64_t>();
  if (is_large || number < low || number > high) {
    fail_field(path_of(name), "expected {} to {}, found {}", low, high, value->dump());
  }
  return number;
}

std::optional<double> FieldReader::get_number(std::string_view name, double low, double high) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) wrong_type(name, "a number");
  const auto number = value->get<double>();
  if (!(number >= low && number <= high)) {
    fail_field(path_of(name), "expected {} to {}, found {}", low, high, number);
  }
  return number;
}

std::optional<std::string> FieldReader::get_string(std::string_view name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) wrong_type(name, "a string");
  return value->get<std::string>();
}

std::optional<std::vector<std::string>> FieldReader::get_strings(std::string_view name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return std::vector<std::string>{value->get<std::string>()};
  std::vector<std::string> strings;
  if (!value->is_array()) wrong_type(name, "a string or a list of strings");
  for (const OrderedJson& item : *value) {
    if (!item.is_string()) wrong_type(name, "a string or a list of strings");
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::optional<std::vector<int32_t>> FieldReader::get_ids(std::string_view name) {
  const OrderedJson* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) wrong_type(name, "a list of token ids");
  return read_ids(*value, path_of(name));
}

void FieldReader::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) known_.emplace(name);
}

std::vector<std::string> FieldReader::unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items()) {
    if (!known_.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace llava::serve
