// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/quantize_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "llava/checkpoint/scale_search.h"
#include "llava/core/check.h"
#include "llava/core/float_formats.h"
#include "llava/tensor/packed.h"

namespace llava::checkpoint {
namespace {

class GroupQuantizer {
 public:
  explicit GroupQuantizer(DType form) : form_(form) {}

  PackedGroup quantize(const GroupInput& in) const {
    PackedGroup group{};
    if (std::any_of(in.begin(), in.end(), [](float x) { return !std::isfinite(x); })) {
      group.scales.fill(f16_from_float(std::numeric_limits<float>::quiet_NaN()));
      return group;
    }
    if (packed_code_bits(form_) == 4) {
      with_search(in, group);
    } else if (has_minimum(form_)) {
      with_ends(in, group);
    } else if (form_ == DType::kPackedQ8Half) {
      with_largest(in, 0, kGroupSize / 2, 0, group);
      with_largest(in, kGroupSize / 2, kGroupSize, 1, group);
    } else {
      with_largest(in, 0, kGroupSize, 0, group);
    }
    return group;
  }

 private:
  // Eight bits: the largest weight gets the last code; there is little to win by a search.
  void with_largest(const GroupInput& in, std::size_t begin, std::size_t end,
                    std::size_t scale_index, PackedGroup& group) const {
    float most = 0;
    for (std::size_t i = begin; i < end; ++i) most = std::max(most, std::fabs(in.x[i]));
    store_scale(most / 127.0f, scale_index, group);
    const GroupFit fit{.scale = float_from_f16(group.scales[scale_index])};
    store_codes(in, fit, begin, end, group);
  }

  void with_ends(const GroupInput& in, PackedGroup& group) const {
    const auto [least, most] = std::minmax_element(in.begin(), in.end());
    store_scale(static_cast<float>((double{*most} - double{*least}) / 255), 0, group);
    group.minimum = f16_from_float(*least);
    const GroupFit fit{.scale = float_from_f16(group.scales[0]),
                       .minimum = float_from_f16(group.minimum)};
    store_codes(in, fit, 0, kGroupSize, group);
  }

  void with_search(const GroupInput& in, PackedGroup& group) const {
    const GroupFit fit =
        form_ == DType::kPackedQ4Min ? search_scale_and_minimum(in) : search_scale(in);
    store_scale(fit.scale, 0, group);
    group.minimum = f16_from_float(fit.minimum);
    store_codes(in, fit, 0, kGroupSize, group);
  }

  // Codes nearest to the weights under the scale and minimum that are stored.
  void store_codes(const GroupInput& in, const GroupFit& fit, std::size_t begin, std::size_t end,
                   PackedGroup& group) const {
    const auto zero = static_cast<float>(zero_code(form_));
    const float most = packed_code_bits(form_) == 4 ? 15.0f : 255.0f;
    GroupValues codes;
    choose_codes(in, fit, -zero, most - zero, codes);
    for (std::size_t i = begin; i < end; ++i) {
      group.codes[i] = static_cast<uint8_t>(codes[i] + zero);
    }
  }

  void store_scale(float scale, std::size_t index, PackedGroup& group) const {
    group.scales[index] = f16_from_float(scale);
    if (form_ != DType::kPackedQ8Half) group.scales[1] = group.scales[0];
  }

  DType form_;
};

// Row `row` of a float matrix as float32, behind it zeros up to a whole group.
void read_row(const Tensor& weight_OI, int64_t row, std::vector<float>& out) {
  const Tensor values = host_to_float32(weight_OI.rows(row, row + 1));
  std::ranges::copy(values.data<float>(), out.begin());
}

}  // namespace

double QuantizationError::relative_rms() const {
  return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0.0;
}

QuantizedMatrix quantize_matrix(ThreadPool& pool, const Tensor& weight_OI, DType form,
                                std::span<const float> importance) {
  LLAVA_CHECK(weight_OI.is_defined() && weight_OI.rank() == 2 && is_packed(form) &&
              (importance.empty() || static_cast<int64_t>(importance.size()) == weight_OI.dim(1)));
  const PackedLayout layout(form, weight_OI.shape());
  const auto padded = static_cast<std::size_t>(layout.num_groups()) * kGroupSize;
  std::vector<float> importances(padded, 0.0f);
  if (importance.empty()) {
    std::fill_n(importances.begin(), layout.num_inputs(), 1.0f);
  } else {
    std::ranges::copy(importance, importances.begin());
  }
  Tensor packed = Tensor::empty(weight_OI.shape(), form);
  std::byte* matrix = packed.mutable_bytes().data();
  std::vector<QuantizationError> errors(static_cast<std::size_t>(layout.num_panels()));
  const GroupQuantizer quantizer(form);

  pool.run(layout.num_panels(), [&](int64_t panel) {
    std::memset(matrix + panel * layout.panel_bytes(), 0,
                static_cast<std::size_t>(layout.panel_bytes()));
    QuantizationError& error = errors[static_cast<std::size_t>(panel)];
    std::vector<float> row(padded);
    GroupInput in;
    GroupValues result;
    const int64_t end = std::min(layout.num_outputs(), (panel + 1) * kPackedPanel);
    for (int64_t output = panel * kPackedPanel; output < end; ++output) {
      read_row(weight_OI, output, row);
      for (int64_t g = 0; g < layout.num_groups(); ++g) {
        const auto begin = static_cast<std::ptrdiff_t>(g * kPackedGroup);
        in.count = static_cast<std::size_t>(
            std::min(kPackedGroup, layout.num_inputs() - g * kPackedGroup));
        std::copy_n(row.begin() + begin, kGroupSize, in.x.begin());
        std::copy_n(importances.begin() + begin, kGroupSize, in.importance.begin());
        const PackedGroup group = quantizer.quantize(in);
        layout.write(matrix, output, g, group);
        dequantize_group(form, group, result);
        for (std::size_t i = 0; i < in.count; ++i) {
          const double lost = double{in.x[i]} - double{result[i]};
          error.squared_error += lost * lost;
          error.squared_norm += double{in.x[i]} * double{in.x[i]};
        }
      }
    }
  });
  QuantizedMatrix quantized{.weight = std::move(packed), .error = {}};
  for (const QuantizationError& error : errors) {
    quantized.error.squared_error += error.squared_error;
    quantized.error.squared_norm += error.squared_norm;
  }
  return quantized;
}

Tensor dequantize_matrix(ThreadPool& pool, const Tensor& packed_OI) {
  Tensor floats = Tensor::empty(packed_OI.shape(), DType::kFloat32);
  const auto width = static_cast<std::size_t>(packed_OI.dim(1));
  const auto values = floats.mutable_data<float>();
  pool.run_ranges(packed_OI.dim(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      dequantize_row(packed_OI, row, values.subspan(static_cast<std::size_t>(row) * width, width));
    }
  });
  return floats;
}

}  // namespace llava::checkpoint
