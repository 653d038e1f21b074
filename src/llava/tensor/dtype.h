// SPDX-License-Identifier: Apache-2.0
//
// Element types of tensors, and the devices they can live on.
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
};

/// Bytes of one element.
int64_t item_size(DType dtype) noexcept;
/// "float32", "bfloat16", ... as config files and flags spell it.
std::string_view dtype_name(DType dtype) noexcept;
/// Accepts the long names, the short ones (f32, fp16, half, bf16) and torch's ("torch.float16").
std::optional<DType> dtype_from_name(std::string_view name) noexcept;
/// float32, float16 or bfloat16: the types a model computes in.
bool is_compute_dtype(DType dtype) noexcept;

enum class DeviceType : uint8_t { kCpu, kCuda, kMps };

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;

  friend bool operator==(const Device&, const Device&) = default;
};

}  // namespace llava
