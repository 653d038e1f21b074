// SPDX-License-Identifier: Apache-2.0
#include "llava/tensor/packed.h"

#include <algorithm>

#include "llava/core/check.h"
#include "llava/core/checked_math.h"
#include "llava/core/float_formats.h"

namespace llava {
namespace {

constexpr int64_t kPanelAlignment = 64;

int64_t code_bytes_of(DType dtype) {
  return kPackedPanel * kPackedGroup * packed_code_bits(dtype) / 8;
}

int64_t scale_bytes_of(DType dtype) {
  return kPackedPanel * 2 * (dtype == DType::kPackedQ8Half ? 2 : 1);
}

// Bytes of one panel of `num_groups` groups, or nothing when they do not fit.
std::optional<int64_t> panel_bytes_of(DType dtype, int64_t num_groups) {
  const int64_t group_bytes =
      code_bytes_of(dtype) + scale_bytes_of(dtype) + (has_minimum(dtype) ? kPackedPanel * 2 : 0);
  const auto bytes = checked_mul(num_groups, group_bytes);
  const auto padded = bytes ? checked_add(*bytes, kPanelAlignment - 1) : std::nullopt;
  if (!padded) return std::nullopt;
  return *padded / kPanelAlignment * kPanelAlignment;
}

void check_cut(int64_t begin, int64_t end, int64_t size, int64_t unit) {
  LLAVA_CHECK(begin >= 0 && begin < end && end <= size && begin % unit == 0 &&
                  (end % unit == 0 || end == size),
              "[{}, {}) of {} cuts through a unit of {}", begin, end, size, unit);
}

// Rounded up without overflow.
int64_t parts_of(int64_t count, int64_t size) { return count / size + (count % size != 0 ? 1 : 0); }

}  // namespace

uint8_t zero_code(DType dtype) noexcept {
  if (has_minimum(dtype)) return 0;
  return packed_code_bits(dtype) == 4 ? 8 : 128;
}

std::optional<int64_t> packed_bytes(DType dtype, std::span<const int64_t> shape) noexcept {
  if (!is_packed(dtype) || shape.size() != 2 || shape[0] < 0 || shape[1] < 0) return std::nullopt;
  const auto panel = panel_bytes_of(dtype, parts_of(shape[1], kPackedGroup));
  return panel ? checked_mul(parts_of(shape[0], kPackedPanel), *panel) : std::nullopt;
}

PackedLayout::PackedLayout(DType dtype, std::span<const int64_t> shape) : dtype_(dtype) {
  LLAVA_CHECK(packed_bytes(dtype, shape).has_value(), "{} is no packed matrix", dtype_name(dtype));
  num_outputs_ = shape[0];
  num_inputs_ = shape[1];
  num_panels_ = parts_of(num_outputs_, kPackedPanel);
  num_groups_ = parts_of(num_inputs_, kPackedGroup);
  code_bytes_ = code_bytes_of(dtype);
  scale_bytes_ = scale_bytes_of(dtype);
  panel_bytes_ = *panel_bytes_of(dtype, num_groups_);
}

PackedGroup PackedLayout::read(const std::byte* matrix, int64_t output,
                               int64_t group) const noexcept {
  const std::byte* panel = matrix + output / kPackedPanel * panel_bytes_;
  const int64_t row = output % kPackedPanel;
  PackedGroup value{};
  std::array<uint32_t, kPackedGroup / 4> words;
  const std::byte* codes = panel + code_offset(group) + row * 4;
  if (packed_code_bits(dtype_) == 4) {
    for (std::size_t pair = 0; pair < words.size() / 2; ++pair) {
      uint32_t both;
      std::memcpy(&both, codes + pair * 4 * kPackedPanel, 4);
      words[2 * pair] = both & 0x0F0F0F0Fu;
      words[2 * pair + 1] = (both >> 4) & 0x0F0F0F0Fu;
    }
  } else {
    for (std::size_t step = 0; step < words.size(); ++step) {
      std::memcpy(&words[step], codes + step * 4 * kPackedPanel, 4);
    }
  }
  std::memcpy(value.codes.data(), words.data(), sizeof(words));
  const std::byte* scales = panel + scale_offset(group) + row * 2;
  std::memcpy(&value.scales[0], scales, 2);
  value.scales[1] = value.scales[0];
  if (dtype_ == DType::kPackedQ8Half) std::memcpy(&value.scales[1], scales + 2 * kPackedPanel, 2);
  if (has_minimum(dtype_)) std::memcpy(&value.minimum, panel + minimum_offset(group) + row * 2, 2);
  return value;
}

void dequantize_group(DType dtype, const PackedGroup& group,
                      std::span<float, kPackedGroup> weights) noexcept {
  constexpr std::size_t kHalf = kPackedGroup / 2;
  const int zero = zero_code(dtype);
  const float minimum = has_minimum(dtype) ? float_from_f16(group.minimum) : 0.0f;
  for (std::size_t half = 0; half < 2; ++half) {
    const float scale =
        float_from_f16(group.scales[dtype == DType::kPackedQ8Half ? half : std::size_t{0}]);
    for (std::size_t i = half * kHalf; i < (half + 1) * kHalf; ++i) {
      const float product = scale * static_cast<float>(group.codes[i] - zero);
      weights[i] = has_minimum(dtype) ? product + minimum : product;
    }
  }
}

void dequantize_row(const Tensor& packed_OI, int64_t output, std::span<float> out) {
  const PackedLayout layout(packed_OI.dtype(), packed_OI.shape());
  LLAVA_CHECK(output >= 0 && output < layout.num_outputs() &&
                  static_cast<int64_t>(out.size()) == layout.num_inputs(),
              "row {} of {} into {} floats", output, to_text(packed_OI.shape()), out.size());
  const std::byte* matrix = packed_OI.bytes().data();
  std::array<float, kPackedGroup> weights;
  for (int64_t group = 0; group < layout.num_groups(); ++group) {
    dequantize_group(layout.dtype(), layout.read(matrix, output, group), weights);
    const auto begin = static_cast<std::size_t>(group * kPackedGroup);
    const std::size_t count = std::min(weights.size(), out.size() - begin);
    std::copy_n(weights.begin(), count, out.subspan(begin).begin());
  }
}

Tensor dequantize(const Tensor& packed_OI) {
  Tensor result = Tensor::empty(packed_OI.shape(), DType::kFloat32);
  const auto width = static_cast<std::size_t>(packed_OI.dim(1));
  const auto values = result.mutable_data<float>();
  for (int64_t output = 0; output < packed_OI.dim(0); ++output) {
    dequantize_row(packed_OI, output,
                   values.subspan(static_cast<std::size_t>(output) * width, width));
  }
  return result;
}

Tensor packed_rows(const Tensor& packed_OI, int64_t begin, int64_t end) {
  const PackedLayout layout(packed_OI.dtype(), packed_OI.shape());
  check_cut(begin, end, layout.num_outputs(), kPackedPanel);
  Tensor part = Tensor::empty({end - begin, layout.num_inputs()}, packed_OI.dtype());
  const std::span<std::byte> to = part.mutable_bytes();
  std::memcpy(to.data(), packed_OI.bytes().data() + begin / kPackedPanel * layout.panel_bytes(),
              to.size());
  return part;
}

Tensor packed_columns(const Tensor& packed_OI, int64_t begin, int64_t end) {
  const PackedLayout whole(packed_OI.dtype(), packed_OI.shape());
  check_cut(begin, end, whole.num_inputs(), kPackedGroup);
  Tensor part = Tensor::zeros({whole.num_outputs(), end - begin}, packed_OI.dtype());
  const PackedLayout layout(part.dtype(), part.shape());
  const int64_t first = begin / kPackedGroup;
  const int64_t last = first + layout.num_groups();
  const std::byte* from = packed_OI.bytes().data();
  std::byte* to = part.mutable_bytes().data();
  const auto copy = [&](int64_t to_offset, int64_t from_begin, int64_t from_end) {
    std::memcpy(to + to_offset, from + from_begin, static_cast<std::size_t>(from_end - from_begin));
  };
  for (int64_t panel = 0; panel < whole.num_panels(); ++panel) {
    copy(layout.code_offset(0), whole.code_offset(first), whole.code_offset(last));
    copy(layout.scale_offset(0), whole.scale_offset(first), whole.scale_offset(last));
    if (has_minimum(part.dtype())) {
      copy(layout.minimum_offset(0), whole.minimum_offset(first), whole.minimum_offset(last));
    }
    from += whole.panel_bytes();
    to += layout.panel_bytes();
  }
  return part;
}

}  // namespace llava
