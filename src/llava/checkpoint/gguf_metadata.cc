// SPDX-License-Identifier: Apache-2.0
//
// GgufFile's metadata: walking over values when the file is opened, decoding them when asked for.
#include <array>

#include "llava/checkpoint/gguf.h"

namespace llava::checkpoint {
namespace {

enum ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

constexpr std::array<std::string_view, 13> kTypeNames = {
    "uint8",   "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
    "boolean", "string", "array",  "uint64", "int64",  "float64"};

// Bytes of a value of fixed size; 0 for strings and arrays.
uint64_t fixed_size(uint32_t type) {
  switch (type) {
    case kUint8:
    case kInt8:
    case kBool:
      return 1;
    case kUint16:
    case kInt16:
      return 2;
    case kUint32:
    case kInt32:
    case kFloat32:
      return 4;
    case kUint64:
    case kInt64:
    case kFloat64:
      return 8;
    default:
      return 0;
  }
}

std::string_view read_string(ByteReader& reader) {
  const auto size = reader.number<uint64_t>("metadata string length");
  return reader.text(size, "metadata string");
}

// Nothing when the type is no integer or the value does not fit.
std::optional<int64_t> read_integer(ByteReader& reader, uint32_t type) {
  switch (type) {
    case kUint8:
      return reader.number<uint8_t>("metadata");
    case kInt8:
      return reader.number<int8_t>("metadata");
    case kUint16:
      return reader.number<uint16_t>("metadata");
    case kInt16:
      return reader.number<int16_t>("metadata");
    case kUint32:
      return reader.number<uint32_t>("metadata");
    case kInt32:
      return reader.number<int32_t>("metadata");
    case kInt64:
      return reader.number<int64_t>("metadata");
    case kUint64: {
      const auto value = reader.number<uint64_t>("metadata");
      if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

void GgufFile::read_value(ByteReader& reader, const std::string& key, Value& value) const {
  const uint64_t at = reader.offset();
  const auto skip = [&](uint32_t type, uint64_t count) {
    if (type == kString) {
      for (uint64_t i = 0; i < count; ++i) read_string(reader);
      return;
    }
    const uint64_t size = fixed_size(type);
    if (size == 0) {
      fail(ErrorCode::kBadFormat, "'{}': metadata key '{}' at byte {} has {} type {}", file_.name,
           key, at, type == kArray ? "the nested array" : "the unknown", type);
    }
    if (count > reader.remaining() / size) {
      fail(
          ErrorCode::kBadFormat,
          "'{}': metadata key '{}' at byte {} announces {} values, more than fit into the {} bytes "
          "that follow: the file is damaged or incomplete",
          file_.name, key, at, count, reader.remaining());
    }
    reader.take(count * size, "metadata value");
  };
  value.type = reader.number<uint32_t>("metadata type");
  if (value.type == kArray) {
    value.item_type = reader.number<uint32_t>("metadata array type");
    value.count = reader.number<uint64_t>("metadata array length");
    value.offset = reader.offset();
    skip(value.item_type, value.count);
  } else {
    value.offset = reader.offset();
    skip(value.type, 1);
  }
}

const GgufFile::Value* GgufFile::find(std::string_view key) const {
  const auto it = metadata_.find(key);
  return it == metadata_.end() ? nullptr : &it->second;
}

bool GgufFile::is_array(std::string_view key) const {
  const Value* value = find(key);
  return value != nullptr && value->type == kArray;
}

void GgufFile::wrong_type(std::string_view key, std::string_view expected) const {
  const Value* value = find(key);
  std::string found(value == nullptr ? "absent" : kTypeNames.at(value->type));
  if (value != nullptr && value->type == kArray) {
    found += fmt::format(" of {}", kTypeNames.at(value->item_type));
  }
  fail(ErrorCode::kBadFormat, "'{}': metadata key '{}' is {}, expected {}", file_.name, key, found,
       expected);
}

std::optional<int64_t> GgufFile::get_int(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  ByteReader reader(file_.name, file_.bytes, value->offset);
  const auto number = read_integer(reader, value->type);
  if (!number) wrong_type(key, "an integer");
  return number;
}

std::optional<double> GgufFile::get_number(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  ByteReader reader(file_.name, file_.bytes, value->offset);
  if (value->type == kFloat32) return reader.number<float>("metadata");
  if (value->type == kFloat64) return reader.number<double>("metadata");
  const auto number = read_integer(reader, value->type);
  if (!number) wrong_type(key, "a number");
  return static_cast<double>(*number);
}

std::optional<bool> GgufFile::get_bool(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kBool) wrong_type(key, "a boolean");
  return ByteReader(file_.name, file_.bytes, value->offset).number<uint8_t>("metadata") != 0;
}

std::optional<std::string> GgufFile::get_string(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kString) wrong_type(key, "a string");
  ByteReader reader(file_.name, file_.bytes, value->offset);
  return std::string(read_string(reader));
}

std::optional<std::vector<int64_t>> GgufFile::get_int_list(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kArray) wrong_type(key, "an array of integers");
  ByteReader reader(file_.name, file_.bytes, value->offset);
  std::vector<int64_t> list;
  list.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto number = read_integer(reader, value->item_type);
    if (!number) wrong_type(key, "an array of integers");
    list.push_back(*number);
  }
  return list;
}

std::optional<std::vector<float>> GgufFile::get_float_list(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kArray || value->item_type != kFloat32) wrong_type(key, "an array of float32");
  ByteReader reader(file_.name, file_.bytes, value->offset);
  std::vector<float> list(value->count);
  if (!list.empty()) {
    const auto raw = reader.take(value->count * sizeof(float), "metadata array");
    std::memcpy(list.data(), raw.data(), raw.size());
  }
  return list;
}

std::optional<std::vector<std::string>> GgufFile::get_string_list(std::string_view key) const {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != kArray || value->item_type != kString) wrong_type(key, "an array of strings");
  ByteReader reader(file_.name, file_.bytes, value->offset);
  std::vector<std::string> list;
  list.reserve(value->count);
  for (uint64_t i = 0; i < value->count; ++i) list.emplace_back(read_string(reader));
  return list;
}

std::vector<std::string> GgufFile::keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : metadata_) keys.push_back(key);
  return keys;
}

}  // namespace llava::checkpoint
