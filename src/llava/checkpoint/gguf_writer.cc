// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf_writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kAlignment = 32;

enum ValueType : uint32_t {
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
};

uint64_t padding_of(uint64_t size) { return (kAlignment - size % kAlignment) % kAlignment; }

uint64_t bytes_of(const GgufWriter::Entry& entry) {
  const GgufTypeInfo* info = find_gguf_type(static_cast<uint32_t>(entry.type));
  LLAVA_CHECK(info != nullptr);
  int64_t numel = 1;
  for (const int64_t size : entry.shape) numel *= size;
  return static_cast<uint64_t>(numel / info->block_elements * info->block_bytes);
}

// One group as a block: scale, minimum (Q4_1), codes.
void append_block(const PackedGroup& group, GgufType type, std::string& out) {
  const auto append = [&](const auto& value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  append(group.scales[0]);
  if (type == GgufType::kQ8_0) {
    for (const uint8_t code : group.codes) append(static_cast<int8_t>(int{code} - 128));
    return;
  }
  if (type == GgufType::kQ4_1) append(group.minimum);
  constexpr std::size_t kHalf = kPackedGroup / 2;
  for (std::size_t i = 0; i < kHalf; ++i) {
    append(static_cast<uint8_t>(group.codes[i] | group.codes[i + kHalf] << 4));
  }
}

}  // namespace

void GgufMetadata::begin(std::string_view key, uint32_t type) {
  put_string(key);
  put(type);
  ++count_;
}

void GgufMetadata::put_string(std::string_view text) {
  put(static_cast<uint64_t>(text.size()));
  bytes_ += text;
}

void GgufMetadata::add(std::string_view key, std::string_view value) {
  begin(key, kString);
  put_string(value);
}

void GgufMetadata::add(std::string_view key, uint32_t value) {
  begin(key, kUint32);
  put(value);
}

void GgufMetadata::add(std::string_view key, float value) {
  begin(key, kFloat32);
  put(value);
}

void GgufMetadata::add(std::string_view key, bool value) {
  begin(key, kBool);
  put(static_cast<uint8_t>(value ? 1 : 0));
}

void GgufMetadata::add(std::string_view key, std::span<const std::string> values) {
  begin(key, kArray);
  put(uint32_t{kString});
  put(static_cast<uint64_t>(values.size()));
  for (const std::string& value : values) put_string(value);
}

void GgufMetadata::add(std::string_view key, std::span<const float> values) {
  begin(key, kArray);
  put(uint32_t{kFloat32});
  put(static_cast<uint64_t>(values.size()));
  for (const float value : values) put(value);
}

void GgufMetadata::add(std::string_view key, std::span<const int32_t> values) {
  begin(key, kArray);
  put(uint32_t{kInt32});
  put(static_cast<uint64_t>(values.size()));
  for (const int32_t value : values) put(value);
}

void GgufMetadata::append(std::string_view bytes, uint64_t count) {
  bytes_ += bytes;
  count_ += count;
}

GgufType gguf_type_of(DType dtype, const Shape& shape) {
  if (shape.size() < 2) return GgufType::kF32;
  const bool fills_blocks = shape.back() % kPackedGroup == 0;
  switch (dtype) {
    case DType::kPackedQ4:
      return fills_blocks ? GgufType::kQ4_0 : GgufType::kF16;
    case DType::kPackedQ4Min:
      return fills_blocks ? GgufType::kQ4_1 : GgufType::kF16;
    case DType::kPackedQ8:
      return fills_blocks ? GgufType::kQ8_0 : GgufType::kF16;
    case DType::kFloat32:
      return GgufType::kF32;
    case DType::kBFloat16:
      return GgufType::kBF16;
    default:
      return GgufType::kF16;
  }
}

std::string to_gguf(const Tensor& tensor, GgufType type, std::span<const int64_t> source_rows) {
  const int64_t num_rows = tensor.rank() == 0 ? 1 : tensor.dim(0);
  const auto row_of = [&](int64_t row) {
    return source_rows.empty() ? row : source_rows[static_cast<std::size_t>(row)];
  };
  std::string out;
  const GgufTypeInfo* info = find_gguf_type(static_cast<uint32_t>(type));
  if (info->is_quantized) {
    LLAVA_CHECK(is_packed(tensor.dtype()) && gguf_type_of(tensor.dtype(), tensor.shape()) == type);
    const PackedLayout layout(tensor.dtype(), tensor.shape());
    for (int64_t row = 0; row < num_rows; ++row) {
      for (int64_t group = 0; group < layout.num_groups(); ++group) {
        append_block(layout.read(tensor.bytes().data(), row_of(row), group), type, out);
      }
    }
    return out;
  }
  const DType dtype = type == GgufType::kF32    ? DType::kFloat32
                      : type == GgufType::kBF16 ? DType::kBFloat16
                                                : DType::kFloat16;
  const Tensor values = host_cast(is_packed(tensor.dtype()) ? dequantize(tensor) : tensor, dtype);
  const auto bytes = values.bytes();
  if (num_rows == 0) return out;
  const std::size_t row_bytes = bytes.size() / static_cast<std::size_t>(num_rows);
  out.reserve(bytes.size());
  for (int64_t row = 0; row < num_rows; ++row) {
    const auto begin = static_cast<std::size_t>(row_of(row)) * row_bytes;
    out.append(reinterpret_cast<const char*>(bytes.data()) + begin, row_bytes);
  }
  return out;
}

GgufWriter::GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
                       std::vector<Entry> entries)
    : path_(path), entries_(std::move(entries)), file_(path, std::ios::binary | std::ios::trunc) {
  if (!file_) {
    fail(ErrorCode::kNotFound, "cannot create '{}': {}", path_.string(), std::strerror(errno));
  }
  std::string head = "GGUF";
  const auto append = [&](const auto& value) {
    head.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  append(kVersion);
  append(static_cast<uint64_t>(entries_.size()));
  append(metadata.count());
  head += metadata.bytes();
  uint64_t offset = 0;
  for (const Entry& entry : entries_) {
    append(static_cast<uint64_t>(entry.name.size()));
    head += entry.name;
    append(static_cast<uint32_t>(entry.shape.size()));
    for (auto size = entry.shape.rbegin(); size != entry.shape.rend(); ++size) {
      append(static_cast<uint64_t>(*size));  // innermost first
    }
    append(static_cast<uint32_t>(entry.type));
    append(offset);
    offset += bytes_of(entry) + padding_of(bytes_of(entry));
  }
  head.append(padding_of(head.size()), '\0');
  file_bytes_ = head.size() + offset;
  put(head);
}

void GgufWriter::write(std::string_view data) {
  LLAVA_CHECK(next_ < entries_.size() && data.size() == bytes_of(entries_[next_]));
  ++next_;
  put(data);
  put(std::string(padding_of(data.size()), '\0'));
}

void GgufWriter::finish() {
  LLAVA_CHECK(next_ == entries_.size());
  file_.close();
  if (!file_) {
    fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", path_.string(),
         std::strerror(errno));
  }
}

void GgufWriter::put(std::string_view bytes) {
  file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file_) {
    fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", path_.string(),
         std::strerror(errno));
  }
}

}  // namespace llava::checkpoint
