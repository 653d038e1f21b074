// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf.h"

#include <bit>
#include <utility>

#include "llava/checkpoint/gguf_repack.h"
#include "llava/core/check.h"
#include "llava/core/checked_math.h"

namespace llava::checkpoint {
namespace {

constexpr uint32_t kMaxDims = 4;
constexpr uint64_t kMaxKeyBytes = 65535;
// The least a metadata entry or a tensor entry takes in the file.
constexpr uint64_t kLeastEntryBytes = 8 + 4 + 1;
constexpr uint64_t kLeastTensorBytes = 8 + 4 + 4 + 8;

DType loaded_dtype(GgufType type) {
  switch (type) {
    case GgufType::kF16:
      return DType::kFloat16;
    case GgufType::kBF16:
      return DType::kBFloat16;
    case GgufType::kF64:
      return DType::kFloat64;
    case GgufType::kI8:
      return DType::kInt8;
    case GgufType::kI16:
      return DType::kInt16;
    case GgufType::kI32:
      return DType::kInt32;
    case GgufType::kI64:
      return DType::kInt64;
    default:
      return DType::kFloat32;
  }
}

}  // namespace

std::shared_ptr<const GgufFile> GgufFile::open(const std::filesystem::path& path) {
  return std::make_shared<const GgufFile>(map_file(path));
}

GgufFile::GgufFile(FileBytes file) : file_(std::move(file)) {
  ByteReader reader(file_.name, file_.bytes);
  if (reader.text(4, "GGUF magic") != "GGUF") {
    fail(ErrorCode::kBadFormat,
         "'{}' does not begin with 'GGUF': the file is damaged or no GGUF file; of a model in any "
         "other format give the folder",
         file_.name);
  }
  const auto version = reader.number<uint32_t>("GGUF version");
  if (version != 2 && version != 3) {
    const bool is_swapped = version != 0 && (version & 0xFFFFu) == 0;
    fail(ErrorCode::kUnsupported, "'{}' is GGUF {}; supported are versions 2 and 3, little-endian",
         file_.name, is_swapped ? "in big-endian byte order" : fmt::format("version {}", version));
  }
  const auto num_tensors = reader.number<uint64_t>("GGUF tensor count");
  const auto num_values = reader.number<uint64_t>("GGUF metadata count");
  if (num_values > reader.remaining() / kLeastEntryBytes ||
      num_tensors > reader.remaining() / kLeastTensorBytes) {
    fail(ErrorCode::kBadFormat,
         "'{}' announces {} metadata values and {} tensors at byte 8, more than fit into the {} "
         "bytes that follow: the file is damaged or incomplete",
         file_.name, num_values, num_tensors, reader.remaining());
  }
  read_metadata(reader, num_values);
  metadata_end_ = reader.offset();
  const int64_t splits = get_int("split.count").value_or(1);
  if (splits > 1) {
    fail(ErrorCode::kUnsupported,
         "'{}' is one of {} parts of a split model; supported are models in one file: merge them "
         "with llama.cpp's gguf-split --merge",
         file_.name, splits);
  }
  read_tensors(reader, num_tensors);
}

void GgufFile::read_metadata(ByteReader& reader, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = reader.offset();
    const auto key_bytes = reader.number<uint64_t>("metadata key length");
    if (key_bytes > kMaxKeyBytes) {
      fail(ErrorCode::kBadFormat, "'{}': metadata key at byte {} has {} bytes, expected at most {}",
           file_.name, at, key_bytes, kMaxKeyBytes);
    }
    std::string key(reader.text(key_bytes, "metadata key"));
    Value value;
    read_value(reader, key, value);
    if (!metadata_.emplace(key, value).second) {
      fail(ErrorCode::kBadFormat, "'{}': metadata key '{}' at byte {} occurs twice", file_.name,
           key, at);
    }
  }
}

std::string GgufFile::without_tensors() const {
  constexpr std::size_t kTensorCountAt = 8;
  std::string text(reinterpret_cast<const char*>(file_.bytes.data()), metadata_end_);
  text.replace(kTensorCountAt, sizeof(uint64_t), sizeof(uint64_t), '\0');
  return text;
}

void GgufFile::read_tensors(ByteReader& reader, uint64_t count) {
  std::map<std::string, uint64_t> offsets;
  for (uint64_t i = 0; i < count; ++i) read_tensor(reader, offsets);

  const uint64_t align = alignment();
  const uint64_t padding = (align - reader.offset() % align) % align;
  const uint64_t begin = std::min<uint64_t>(reader.offset() + padding, file_.bytes.size());
  const std::span<const std::byte> data = file_.bytes.subspan(begin);
  for (auto& [name, place] : places_) {
    const uint64_t offset = offsets.at(name);
    const auto size = static_cast<uint64_t>(tensors_.at(name).stored_bytes);
    if (offset % align != 0 || offset > data.size() || size > data.size() - offset) {
      fail(ErrorCode::kBadFormat,
           "'{}': tensor '{}' has {} bytes at offset {} of a data section of {} bytes aligned to "
           "{}: the file is damaged or incomplete",
           file_.name, name, size, offset, data.size(), align);
    }
    place.bytes = data.subspan(offset, size);
  }
}

void GgufFile::read_tensor(ByteReader& reader, std::map<std::string, uint64_t>& offsets) {
  const uint64_t at = reader.offset();
  const auto name_bytes = reader.number<uint64_t>("tensor name length");
  if (name_bytes > kMaxKeyBytes) {
    fail(ErrorCode::kBadFormat, "'{}': tensor name at byte {} has {} bytes, expected at most {}",
         file_.name, at, name_bytes, kMaxKeyBytes);
  }
  const std::string name(reader.text(name_bytes, "tensor name"));
  const auto num_dims = reader.number<uint32_t>("tensor dimensions");
  if (num_dims > kMaxDims) {
    fail(ErrorCode::kBadFormat,
         "'{}': tensor '{}' at byte {} has {} dimensions, expected at most {}", file_.name, name,
         at, num_dims, kMaxDims);
  }
  Shape shape(num_dims);
  for (uint32_t i = 0; i < num_dims; ++i) {
    // The file writes the innermost dimension first.
    const auto dim = reader.number<uint64_t>("tensor dimension");
    shape[num_dims - 1 - i] =
        dim > static_cast<uint64_t>(INT64_MAX) ? -1 : static_cast<int64_t>(dim);
  }
  const auto type_number = reader.number<uint32_t>("tensor type");
  const auto offset = reader.number<uint64_t>("tensor offset");
  const GgufTypeInfo* type = find_gguf_type(type_number);
  if (type == nullptr) {
    fail(
        ErrorCode::kUnsupported,
        "'{}': tensor '{}' has type {} ({}); supported are F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, "
        "Q5_1, Q4_K, Q5_K and Q6_K",
        file_.name, name, gguf_type_name(type_number), type_number);
  }
  const auto numel = checked_product(shape);
  const int64_t row = shape.empty() ? 1 : shape.back();
  const auto bytes = numel ? checked_mul(*numel / type->block_elements, type->block_bytes) : numel;
  const auto float_bytes = numel ? checked_mul<int64_t>(*numel, 8) : numel;
  if (!bytes || !float_bytes || row % type->block_elements != 0) {
    fail(ErrorCode::kBadFormat,
         "'{}': tensor '{}' at byte {} of type {} has the impossible shape {}", file_.name, name,
         at, type->name, to_text(shape));
  }
  const auto gguf_type = static_cast<GgufType>(type_number);
  const TensorInfo info{.name = name,
                        .shape = shape,
                        .dtype = loaded_dtype(gguf_type),
                        .stored_as = std::string(type->name),
                        .stored_bytes = *bytes,
                        .file = file_.name};
  if (!tensors_.emplace(name, info).second) {
    fail(ErrorCode::kBadFormat, "'{}': tensor '{}' at byte {} occurs twice", file_.name, name, at);
  }
  places_[name].type = gguf_type;
  offsets[name] = offset;
}

uint64_t GgufFile::alignment() const {
  const int64_t align = get_int("general.alignment").value_or(32);
  if (align < 1 || align > (1 << 20) || !std::has_single_bit(static_cast<uint64_t>(align))) {
    fail(ErrorCode::kBadFormat,
         "'{}': metadata key 'general.alignment' is {}, expected a power of two up to 1048576",
         file_.name, align);
  }
  return static_cast<uint64_t>(align);
}

Tensor GgufFile::load(const std::string& name) const {
  const auto it = places_.find(name);
  if (it == places_.end()) fail(ErrorCode::kNotFound, "'{}' has no tensor '{}'", file_.name, name);
  const TensorInfo& info = tensors_.at(name);
  const Place& place = it->second;
  if (!find_gguf_type(static_cast<uint32_t>(place.type))->is_quantized) {
    return tensor_over(file_, place.bytes, info.shape, info.dtype);
  }
  Tensor values = Tensor::empty(info.shape, DType::kFloat32);
  dequantize_gguf(place.type, place.bytes, values.mutable_data<float>());
  return values;
}

Tensor GgufFile::load_rows(const std::string& name, std::span<const int64_t> source_rows) const {
  const auto it = places_.find(name);
  if (it == places_.end()) fail(ErrorCode::kNotFound, "'{}' has no tensor '{}'", file_.name, name);
  const TensorInfo& info = tensors_.at(name);
  const Place& place = it->second;
  const auto num_rows = static_cast<int64_t>(source_rows.size());
  LLAVA_CHECK(!info.shape.empty() && info.shape[0] == num_rows && num_rows > 0);
  // A row of a vector is one element, so a vector must not be quantised; converters never do that.
  const bool is_quantized = find_gguf_type(static_cast<uint32_t>(place.type))->is_quantized;
  if (is_quantized && info.shape.size() < 2) {
    fail(ErrorCode::kUnsupported, "'{}': vector '{}' has type {}, expected F32", file_.name, name,
         info.stored_as);
  }
  const auto row_bytes = place.bytes.size() / static_cast<std::size_t>(num_rows);
  Tensor result = Tensor::empty(info.shape, info.dtype);
  const int64_t row_elements = result.numel() / num_rows;
  for (int64_t i = 0; i < num_rows; ++i) {
    const int64_t from = source_rows[static_cast<std::size_t>(i)];
    LLAVA_CHECK(from >= 0 && from < num_rows);
    const auto row = place.bytes.subspan(static_cast<std::size_t>(from) * row_bytes, row_bytes);
    if (is_quantized) {
      const auto out = result.mutable_data<float>().subspan(
          static_cast<std::size_t>(i * row_elements), static_cast<std::size_t>(row_elements));
      dequantize_gguf(place.type, row, out);
    } else {
      std::memcpy(result.mutable_bytes().data() + static_cast<std::size_t>(i) * row_bytes,
                  row.data(), row_bytes);
    }
  }
  return result;
}

std::optional<DType> GgufFile::packed_form(const std::string& name) const {
  const auto it = places_.find(name);
  if (it == places_.end() || tensors_.at(name).shape.size() != 2) return std::nullopt;
  return repacked_form(it->second.type);
}

Tensor GgufFile::load_packed(const std::string& name, std::span<const int64_t> source_rows,
                             ThreadPool& pool) const {
  const auto it = places_.find(name);
  if (it == places_.end()) fail(ErrorCode::kNotFound, "'{}' has no tensor '{}'", file_.name, name);
  return repack_gguf(pool, it->second.type, it->second.bytes, tensors_.at(name).shape, source_rows);
}

}  // namespace llava::checkpoint
