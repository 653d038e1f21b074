// SPDX-License-Identifier: Apache-2.0
//
// The block formats of GGUF and their conversion to float32, exactly as the published reference
// converts them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace llava::checkpoint {

/// Element types of GGUF tensors that are read here; the numbers are the format's own.
enum class GgufType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kBF16 = 30,
};

/// How a type is stored: `block_elements` elements take `block_bytes` bytes.
struct GgufTypeInfo {
  std::string_view name;
  int64_t block_elements = 0;
  int64_t block_bytes = 0;
  bool is_quantized = false;
};

/// One of the eight 6-bit scales and minima in the twelve bytes of Q4_K and Q5_K.
struct GgufScaleAndMinimum {
  int scale = 0;
  int minimum = 0;
};
GgufScaleAndMinimum gguf_scale_and_minimum(const uint8_t* packed, int64_t group) noexcept;

/// Storage of a type by its number; null for one that is not read here.
const GgufTypeInfo* find_gguf_type(uint32_t type) noexcept;

/// The format's name of any type number, read here or not, for messages; "unknown" otherwise.
std::string_view gguf_type_name(uint32_t type) noexcept;

/// Expands whole blocks of a quantised type. `blocks` holds values.size() / block_elements blocks.
void dequantize_gguf(GgufType type, std::span<const std::byte> blocks, std::span<float> values);

}  // namespace llava::checkpoint
