// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/held_weights.h"

#include <string>

#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/merge_adapter.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {

bool is_vision_name(std::string_view name) { return name.starts_with(kVisionTowerPrefix); }

bool is_projector_name(std::string_view name) {
  return name.find("mm_projector") != std::string_view::npos;
}

namespace {

// A form of as many bits in which the weights of this one do not lie on their grid.
DType other_grid(DType form) {
  switch (form) {
    case DType::kPackedQ4:
      return DType::kPackedQ4Min;
    case DType::kPackedQ4Min:
      return DType::kPackedQ4;
    case DType::kPackedQ8:
      return DType::kPackedQ8Min;
    default:
      return DType::kPackedQ8;
  }
}

}  // namespace

DType HeldDtypes::of(std::string_view name, const Shape& shape, DType stored) const {
  const WeightPart part = weight_part(name, shape, is_head_tied_);
  if (part == WeightPart::kOther) return compute_dtype(name);
  if (is_packed(stored) && adapter_to_merge(name) != nullptr) {
    const auto asked = options_.forms.of(part);
    if (!asked && !options_.keeps_packed) return compute_dtype(name);
    const DType form = asked.value_or(DType::kPackedQ8);
    return form == stored ? other_grid(form) : form;
  }
  if (const auto form = options_.forms.of(part)) {
    const bool has_as_few_bits =
        is_packed(stored) && packed_code_bits(stored) <= packed_code_bits(*form);
    return has_as_few_bits ? stored : *form;
  }
  if (is_packed(stored) && options_.keeps_packed) return stored;
  if (part == WeightPart::kTable) {
    if (options_.table_dtype) return *options_.table_dtype;
    const bool is_quantized = options_.keeps_packed || options_.forms.is_quantized();
    if (is_quantized && is_compute_dtype(stored)) return stored;
  }
  return compute_dtype(name);
}

DType HeldDtypes::compute_dtype(std::string_view name) const {
  if (is_vision_name(name)) return options_.vision_dtype;
  return is_projector_name(name) ? options_.projector_dtype.value_or(options_.dtype)
                                 : options_.dtype;
}

HeldWeight WeightReader::read(const WeightAssignment& assignment,
                              std::span<const float> importance) {
  const std::string& name = assignment.name;
  HeldWeight held{.value = assignment.source->load(name), .dtype = {}, .error = {}};
  Tensor& value = held.value;
  held.dtype = held_.of(name, value.shape(), value.dtype());
  const model::LoraAdapter* adapter = held_.adapter_to_merge(name);
  if (is_packed(value.dtype()) && (value.dtype() != held.dtype || adapter != nullptr)) {
    value = dequantize_matrix(pool_, value);
  }
  if (value.dtype() == DType::kFloat64) value = host_cast(value, DType::kFloat32);
  if (options_.rounds_to_float16 && !is_vision_name(name) && !is_packed(value.dtype())) {
    value = host_cast(value, DType::kFloat16);
  }
  if (adapter != nullptr) value = merge_adapter(value, *adapter, &pool_);
  if (is_packed(held.dtype) && value.dtype() != held.dtype) {
    QuantizedMatrix quantized = quantize_matrix(pool_, value, held.dtype, importance);
    value = std::move(quantized.weight);
    held.error = quantized.error;
  }
  return held;
}

const model::LoraAdapter* HeldDtypes::adapter_to_merge(std::string_view name) const {
  constexpr std::string_view kWeight = ".weight";
  if (!options_.merges_adapters || !name.ends_with(kWeight)) return nullptr;
  name.remove_suffix(kWeight.size());
  const auto it = weights_.adapters.find(std::string(name));
  return it == weights_.adapters.end() ? nullptr : &it->second;
}

}  // namespace llava::checkpoint
