// SPDX-License-Identifier: Apache-2.0
//
// Element types of tensors, the packed forms of weight matrices, and the devices they can live on.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace llava {

enum class DType : uint8_t {
  kFloat32,
  kFloat16,
  kBFloat16,
  kFloat64,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool,
  // Packed matrices (tensor/packed.h): groups of 32 inputs share a scale, some also a minimum.
  kPackedQ4,      ///< 4.5 bits per weight: scale * (code - 8)
  kPackedQ4Min,   ///< 5 bits: scale * code + minimum
  kPackedQ8,      ///< 8.5 bits: scale * (code - 128)
  kPackedQ8Min,   ///< 9 bits: scale * code + minimum
  kPackedQ8Half,  ///< 9 bits: as kPackedQ8 with one scale for every 16 inputs
};

/// Bytes of one element; 0 for the packed forms, whose elements have no bytes of their own.
int64_t item_size(DType dtype) noexcept;
/// "float32", "bfloat16", ..., "q4", "q8_half" as config files and flags spell it.
std::string_view dtype_name(DType dtype) noexcept;
/// Accepts the long names, the short ones (f32, fp16, half, bf16) and torch's ("torch.float16").
std::optional<DType> dtype_from_name(std::string_view name) noexcept;
/// float32, float16 or bfloat16: the types a model computes in.
bool is_compute_dtype(DType dtype) noexcept;
/// One of the packed forms of a weight matrix.
bool is_packed(DType dtype) noexcept;

enum class DeviceType : uint8_t { kCpu, kCuda, kMps };

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;

  friend bool operator==(const Device&, const Device&) = default;
};

}  // namespace llava
