// SPDX-License-Identifier: Apache-2.0
#include "llava/tensor/dtype.h"

#include <array>

namespace llava {
namespace {

struct Row {
  DType dtype;
  int64_t bytes;
  std::string_view name;
  std::array<std::string_view, 4> aliases;
};

constexpr std::array<Row, 15> kRows{{
    {DType::kFloat32, 4, "float32", {"f32", "fp32", "float", "F32"}},
    {DType::kFloat16, 2, "float16", {"f16", "fp16", "half", "F16"}},
    {DType::kBFloat16, 2, "bfloat16", {"bf16", "BF16", "", ""}},
    {DType::kFloat64, 8, "float64", {"f64", "double", "F64", ""}},
    {DType::kInt64, 8, "int64", {"i64", "long", "I64", ""}},
    {DType::kInt32, 4, "int32", {"i32", "int", "I32", ""}},
    {DType::kInt16, 2, "int16", {"i16", "short", "I16", ""}},
    {DType::kInt8, 1, "int8", {"i8", "I8", "", ""}},
    {DType::kUInt8, 1, "uint8", {"u8", "byte", "U8", ""}},
    {DType::kBool, 1, "bool", {"BOOL", "", "", ""}},
    {DType::kPackedQ4, 0, "q4", {}},
    {DType::kPackedQ4Min, 0, "q4_min", {}},
    {DType::kPackedQ8, 0, "q8", {}},
    {DType::kPackedQ8Min, 0, "q8_min", {}},
    {DType::kPackedQ8Half, 0, "q8_half", {}},
}};

}  // namespace

int64_t item_size(DType dtype) noexcept { return kRows[static_cast<std::size_t>(dtype)].bytes; }

std::string_view dtype_name(DType dtype) noexcept {
  return kRows[static_cast<std::size_t>(dtype)].name;
}

std::optional<DType> dtype_from_name(std::string_view name) noexcept {
  constexpr std::string_view kTorchPrefix = "torch.";
  if (name.starts_with(kTorchPrefix)) name.remove_prefix(kTorchPrefix.size());
  for (const Row& row : kRows) {
    if (row.name == name) return row.dtype;
    for (const std::string_view alias : row.aliases) {
      if (!alias.empty() && alias == name) return row.dtype;
    }
  }
  return std::nullopt;
}

bool is_compute_dtype(DType dtype) noexcept {
  return dtype == DType::kFloat32 || dtype == DType::kFloat16 || dtype == DType::kBFloat16;
}

bool is_packed(DType dtype) noexcept { return dtype >= DType::kPackedQ4; }

}  // namespace llava
