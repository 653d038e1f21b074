// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/safetensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "llava/core/checked_math.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

// The format's own limit; a header is a few hundred kilobytes in practice.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct StoredType {
  std::string_view name;
  DType dtype;
  bool is_loadable;
};

constexpr std::array<StoredType, 13> kStoredTypes = {{
    {"F32", DType::kFloat32, true},
    {"F16", DType::kFloat16, true},
    {"BF16", DType::kBFloat16, true},
    {"F64", DType::kFloat64, true},
    {"I64", DType::kInt64, true},
    {"I32", DType::kInt32, true},
    {"I16", DType::kInt16, true},
    {"I8", DType::kInt8, true},
    {"U8", DType::kUInt8, true},
    {"BOOL", DType::kBool, true},
    {"U16", DType::kInt16, false},
    {"U32", DType::kInt32, false},
    {"U64", DType::kInt64, false},
}};

const StoredType* find_type(std::string_view name) {
  for (const StoredType& type : kStoredTypes) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

// Description of one tensor, its sizes checked against each other.
TensorInfo read_entry(const std::string& file, const std::string& name, const Json& value,
                      uint64_t buffer_bytes, std::pair<uint64_t, uint64_t>& range) {
  const std::string source = fmt::format("'{}': tensor '{}'", file, name);
  const JsonObject entry(value, source);
  const auto type_name = entry.get_string("dtype");
  const auto shape = entry.get_int_list("shape");
  const auto offsets = entry.get_int_list("data_offsets");
  if (!type_name) entry.wrong_type("dtype", "a type name");
  if (!shape) entry.wrong_type("shape", "a list of sizes");
  if (!offsets || offsets->size() != 2) entry.wrong_type("data_offsets", "two byte offsets");
  const StoredType* type = find_type(*type_name);
  if (type == nullptr) {
    fail(ErrorCode::kUnsupported,
         "{} has type '{}'; supported are F32, F16, BF16, F64, I64, I32, I16, I8, U8 and BOOL: "
         "save it in one of these types",
         source, *type_name);
  }
  const auto numel = checked_product(*shape);
  const auto bytes = numel ? checked_mul(*numel, item_size(type->dtype)) : std::nullopt;
  if (!bytes) {
    fail(ErrorCode::kBadFormat, "{} has the impossible shape {}", source, to_text(*shape));
  }
  const int64_t begin = (*offsets)[0];
  const int64_t end = (*offsets)[1];
  if (begin < 0 || end < begin || static_cast<uint64_t>(end) > buffer_bytes) {
    fail(ErrorCode::kBadFormat,
         "{} lies at bytes [{}, {}) of a data section of {} bytes: the file is damaged or "
         "incomplete",
         source, begin, end, buffer_bytes);
  }
  if (end - begin != *bytes) {
    fail(ErrorCode::kBadFormat,
         "{} has shape {} and type {}, so {} bytes, but its range [{}, {}) has {}", source,
         to_text(*shape), *type_name, *bytes, begin, end, end - begin);
  }
  range = {static_cast<uint64_t>(begin), static_cast<uint64_t>(end)};
  return {name, *shape, type->dtype, *type_name, *bytes, file};
}

// The ranges must tile the data section: no overlap, no hole, nothing behind the last.
void check_tiling(const std::string& file,
                  const std::map<std::string, std::pair<uint64_t, uint64_t>>& ranges,
                  uint64_t buffer_bytes) {
  std::vector<std::tuple<uint64_t, uint64_t, std::string_view>> sorted;
  for (const auto& [name, range] : ranges) sorted.emplace_back(range.first, range.second, name);
  std::sort(sorted.begin(), sorted.end());
  uint64_t position = 0;
  for (const auto& [begin, end, name] : sorted) {
    if (begin != position) {
      fail(ErrorCode::kBadFormat,
           "'{}': tensor '{}' begins at byte {} of the data section, expected {}: ranges {}", file,
           name, begin, position, begin < position ? "overlap" : "leave a hole");
    }
    position = end;
  }
  if (position != buffer_bytes) {
    fail(ErrorCode::kBadFormat,
         "'{}': tensors end at byte {} of the data section, which has {} bytes", file, position,
         buffer_bytes);
  }
}

}  // namespace

std::shared_ptr<const SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  return std::make_shared<const SafetensorsFile>(map_file(path));
}

SafetensorsFile::SafetensorsFile(FileBytes file) : file_(std::move(file)) {
  ByteReader reader(file_.name, file_.bytes);
  const auto header_bytes = reader.number<uint64_t>("safetensors header length");
  if (header_bytes > kMaxHeaderBytes || header_bytes > reader.remaining()) {
    fail(ErrorCode::kBadFormat,
         "'{}': safetensors header length at byte 0 is {}, but {} bytes follow and at most {} are "
         "allowed: the file is damaged, incomplete or no safetensors file",
         file_.name, header_bytes, reader.remaining(), kMaxHeaderBytes);
  }
  const std::string_view text = reader.text(header_bytes, "safetensors header");
  if (!text.starts_with('{')) {
    fail(ErrorCode::kBadFormat, "'{}': safetensors header at byte 8 does not begin with '{{'",
         file_.name);
  }
  const uint64_t buffer_bytes = reader.remaining();
  const Json header = parse_json(text, fmt::format("'{}' (header at byte 8)", file_.name));
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      const JsonObject metadata(value, fmt::format("'{}': __metadata__", file_.name));
      for (const auto& item : value.items()) {
        const auto text_value = metadata.get_string(item.key());
        if (!text_value) metadata.wrong_type(item.key(), "a string");
        metadata_.emplace(item.key(), *text_value);
      }
      continue;
    }
    std::pair<uint64_t, uint64_t> range;
    tensors_.emplace(name, read_entry(file_.name, name, value, buffer_bytes, range));
    ranges_.emplace(name, range);
  }
  check_tiling(file_.name, ranges_, buffer_bytes);
  file_.bytes = file_.bytes.subspan(reader.offset());
}

Tensor SafetensorsFile::load(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    fail(ErrorCode::kNotFound, "'{}' has no tensor '{}'", file_.name, name);
  }
  const TensorInfo& info = it->second;
  if (!find_type(info.stored_as)->is_loadable) {
    fail(ErrorCode::kUnsupported, "'{}': tensor '{}' has type {}, which no part of a model uses",
         file_.name, name, info.stored_as);
  }
  const auto [begin, end] = ranges_.at(name);
  return tensor_over(file_, file_.bytes.subspan(begin, end - begin), info.shape, info.dtype);
}

}  // namespace llava::checkpoint
