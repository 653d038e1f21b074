// SPDX-License-Identifier: Apache-2.0
//
// The obvious version of the kernels of packed matrices. The vector versions give the same bits.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "llava/core/float_formats.h"
#include "llava/kernels/tables.h"

namespace llava::kernels::scalar {
namespace {

/// One row of one group of a packed matrix.
template <Packed form>
class GroupRow {
 public:
  GroupRow(const std::byte* weight, int64_t num_inputs, int64_t row, int64_t group)
      : row_(row % kPackedPanel) {
    const std::byte* panel = weight + row / kPackedPanel * packed_panel_bytes(form, num_inputs);
    const int64_t groups = packed_groups(num_inputs);
    codes_ = panel + group * packed_code_bytes(form);
    const std::byte* scales = panel + groups * packed_code_bytes(form);
    scales_ = scales + group * packed_scale_bytes(form);
    minima_ = scales + groups * packed_scale_bytes(form) + group * packed_minimum_bytes(form);
  }

  int code(int64_t i) const {
    if constexpr (packed_is_4_bit(form)) {
      const int byte = std::to_integer<int>(codes_[i / 8 * 64 + row_ * 4 + i % 4]);
      return i % 8 < 4 ? byte & 15 : byte >> 4;
    } else {
      return std::to_integer<int>(codes_[i / 4 * 64 + row_ * 4 + i % 4]);
    }
  }
  /// The scale of half group `half`, or of the group.
  float scale(int64_t half) const { return half_float(scales_, half * kPackedPanel + row_); }
  float minimum() const { return half_float(minima_, row_); }

 private:
  static float half_float(const std::byte* halves, int64_t index) {
    uint16_t bits = 0;
    std::memcpy(&bits, halves + 2 * index, 2);
    return float_from_f16(bits);
  }

  int64_t row_;
  const std::byte* codes_;
  const std::byte* scales_;
  const std::byte* minima_;
};

/// Inputs [begin, end) of a row as codes with one scale, which is returned.
float quantize_block(const float* x, int64_t begin, int64_t end, int8_t* codes) {
  // As integers, the bits of absolute values are in order, with NaN above infinity.
  uint32_t most_bits = 0;
  for (int64_t i = begin; i < end; ++i) {
    most_bits = std::max(most_bits, std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFu);
  }
  const float most = std::bit_cast<float>(most_bits);
  if (!(most < std::numeric_limits<float>::infinity())) {
    return std::numeric_limits<float>::quiet_NaN();
  }
  if (most < kPackedSmallest) return 0.0f;
  const float to_codes = 127.0f / most;
  for (int64_t i = begin; i < end; ++i) {
    codes[i - begin] = static_cast<int8_t>(std::nearbyint(x[i] * to_codes));
  }
  return most / 127.0f;
}

template <Packed form>
void quantize(const QuantizeActivationsArgs& args) noexcept {
  constexpr int64_t kBlock = packed_activation_block(form);
  constexpr int64_t kPart = kPackedGroup / packed_scales_per_group(form);
  const int64_t slabs = (args.num_inputs + kPackedSlab - 1) / kPackedSlab;
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    for (int64_t begin = 0; begin < args.num_inputs; begin += kPackedSlab) {
      PackedActivations& record = args.out[row * slabs + begin / kPackedSlab];
      record = {};
      for (int64_t i = 0; i < kPackedSlab && begin + i < args.num_inputs; i += kBlock) {
        record.scales[i / kBlock] = quantize_block(
            x, begin + i, std::min(begin + i + kBlock, args.num_inputs), record.codes + i);
      }
      for (int64_t part = 0; part < kPackedSlab / kPart; ++part) {
        int32_t sum = 0;
        for (int64_t i = 0; i < kPart; ++i) sum += record.codes[part * kPart + i];
        if constexpr (packed_has_minimum(form)) {
          record.sums[part].number = static_cast<float>(sum);
        } else {
          record.sums[part].integer = -packed_zero(form) * sum;
        }
      }
    }
  }
}

template <Packed form>
float dot(const PackedLinearArgs& args, int64_t row, int64_t output) {
  constexpr int64_t kScales = packed_scales_per_group(form);
  constexpr int64_t kPart = kPackedGroup / kScales;
  constexpr int64_t kBlockGroups = packed_activation_block(form) / kPackedGroup;
  constexpr int64_t kSlabGroups = kPackedSlab / kPackedGroup;
  const int64_t groups = packed_groups(args.num_inputs);
  const int64_t slabs = (groups + kSlabGroups - 1) / kSlabGroups;
  float sum = 0.0f;
  for (int64_t begin = 0; begin < groups; begin += kBlockGroups) {
    const PackedActivations& x = args.x[row * slabs + begin / kSlabGroups];
    float block = 0.0f;
    for (int64_t group = begin; group < std::min(begin + kBlockGroups, groups); ++group) {
      const GroupRow<form> w(args.weight, args.num_inputs, output, group);
      const int64_t in_slab = group % kSlabGroups;
      for (int64_t part = 0; part < kScales; ++part) {
        const PackedActivations::Sum& x_sum = x.sums[in_slab * kScales + part];
        int32_t products = packed_has_minimum(form) ? 0 : x_sum.integer;
        for (int64_t i = part * kPart; i < (part + 1) * kPart; ++i) {
          products += w.code(i) * x.codes[in_slab * kPackedGroup + i];
        }
        block = std::fma(static_cast<float>(products), w.scale(part), block);
        if (packed_has_minimum(form)) block = std::fma(x_sum.number, w.minimum(), block);
      }
    }
    sum = std::fma(block, x.scales[begin % kSlabGroups / kBlockGroups], sum);
  }
  return sum;
}

template <Packed form>
void linear(const PackedLinearArgs& args) noexcept {
  for (int64_t row = 0; row < args.num_rows; ++row) {
    for (int64_t o = args.output_begin; o < args.output_end; ++o) {
      float sum = dot<form>(args, row, o);
      if (args.bias != nullptr) sum += args.bias[o];
      args.out[row * args.out_stride + o] = sum;
    }
  }
}

template <Packed form>
constexpr PackedKernels kernels_of() {
  return {quantize<form>, linear<form>, dequantize<form>};
}

}  // namespace

template <Packed form>
void dequantize(const PackedDequantizeArgs& args) noexcept {
  constexpr int64_t kPart = kPackedGroup / packed_scales_per_group(form);
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    float* out = args.out + (row - args.row_begin) * args.out_stride;
    for (int64_t group = 0; group < packed_groups(args.num_inputs); ++group) {
      const GroupRow<form> w(args.weight, args.num_inputs, row, group);
      const int64_t begin = group * kPackedGroup;
      for (int64_t i = 0; i < kPackedGroup && begin + i < args.num_inputs; ++i) {
        const auto q = static_cast<float>(w.code(i) - packed_zero(form));
        const float scale = w.scale(i / kPart);
        out[begin + i] = packed_has_minimum(form) ? std::fma(scale, q, w.minimum()) : scale * q;
      }
    }
  }
}

template void dequantize<kPackedQ4>(const PackedDequantizeArgs&) noexcept;
template void dequantize<kPackedQ4Min>(const PackedDequantizeArgs&) noexcept;
template void dequantize<kPackedQ8>(const PackedDequantizeArgs&) noexcept;
template void dequantize<kPackedQ8Min>(const PackedDequantizeArgs&) noexcept;
template void dequantize<kPackedQ8Half>(const PackedDequantizeArgs&) noexcept;

const PackedKernels kPackedKernels[kNumPacked] = {
    kernels_of<kPackedQ4>(), kernels_of<kPackedQ4Min>(), kernels_of<kPackedQ8>(),
    kernels_of<kPackedQ8Min>(), kernels_of<kPackedQ8Half>()};

}  // namespace llava::kernels::scalar
