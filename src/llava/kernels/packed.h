// SPDX-License-Identifier: Apache-2.0
//
// Quantised matrices in the layout the kernels compute on, and the arguments of the kernels that
// multiply them with 8-bit activations. docs/kernels.md describes the forms byte by byte and says
// what every sum is; callers validate.
//
// Like kernel_table.h, this header defines nothing that could be emitted as a shared inline
// function.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llava::kernels {

/// Forms of a packed matrix, in the order of the tables' arrays. A weight of code q is
/// scale * (q - zero), or scale * q + minimum.
enum Packed : int {
  kPackedQ4,      ///< 4 bits, zero 8, a scale per group
  kPackedQ4Min,   ///< 4 bits, a scale and a minimum per group
  kPackedQ8,      ///< 8 bits, zero 128, a scale per group
  kPackedQ8Min,   ///< 8 bits, a scale and a minimum per group
  kPackedQ8Half,  ///< 8 bits, zero 128, a scale per half group
  kNumPacked
};

/// Outputs per panel; a matrix is padded with zero weights to whole panels.
inline constexpr int64_t kPackedPanel = 16;
/// Inputs per group; a matrix is padded with zero weights to whole groups.
inline constexpr int64_t kPackedGroup = 32;
/// Outputs that callers give one call at the least where there are enough: a multiple of the
/// panels that the kernels read at the same time.
inline constexpr int64_t kPackedOutputs = 8 * kPackedPanel;
/// A block of activations whose largest absolute value is below this is taken as zero: 127 divided
/// by it is still finite.
inline constexpr float kPackedSmallest = 0x1p-120f;
/// Rows whose sums are held at a time; more rows are processed in turns.
inline constexpr int64_t kPackedRows = 192;
/// Bytes of scratch for one call of packed linear, aligned to 64 bytes.
inline constexpr size_t kPackedScratchBytes = 32 * 1024;

[[gnu::always_inline]] constexpr bool packed_has_minimum(Packed form) noexcept {
  return form == kPackedQ4Min || form == kPackedQ8Min;
}
[[gnu::always_inline]] constexpr bool packed_is_4_bit(Packed form) noexcept {
  return form == kPackedQ4 || form == kPackedQ4Min;
}
[[gnu::always_inline]] constexpr int packed_zero(Packed form) noexcept {
  return packed_has_minimum(form) ? 0 : packed_is_4_bit(form) ? 8 : 128;
}
/// Scales of one row of one group.
[[gnu::always_inline]] constexpr int packed_scales_per_group(Packed form) noexcept {
  return form == kPackedQ8Half ? 2 : 1;
}
/// Activations that share a scale. 128 would make 4-bit products 4 to 7 % faster, at 2.5 times the
/// divergence of a Q4_1 model (bench/results/quality.md).
[[gnu::always_inline]] constexpr int64_t packed_activation_block(Packed) noexcept { return 32; }
/// Bytes of one group's codes, of its scales and of its minima, for the rows of a panel.
[[gnu::always_inline]] constexpr int64_t packed_code_bytes(Packed form) noexcept {
  return kPackedPanel * kPackedGroup / (packed_is_4_bit(form) ? 2 : 1);
}
[[gnu::always_inline]] constexpr int64_t packed_scale_bytes(Packed form) noexcept {
  return 2 * kPackedPanel * packed_scales_per_group(form);
}
[[gnu::always_inline]] constexpr int64_t packed_minimum_bytes(Packed form) noexcept {
  return packed_has_minimum(form) ? 2 * kPackedPanel : 0;
}
[[gnu::always_inline]] constexpr int64_t packed_groups(int64_t num_inputs) noexcept {
  return (num_inputs + kPackedGroup - 1) / kPackedGroup;
}
/// Distance from panel to panel: all codes, then all scales, then all minima, rounded up to 64.
[[gnu::always_inline]] constexpr int64_t packed_panel_bytes(Packed form,
                                                            int64_t num_inputs) noexcept {
  const int64_t group_bytes =
      packed_code_bytes(form) + packed_scale_bytes(form) + packed_minimum_bytes(form);
  return (packed_groups(num_inputs) * group_bytes + 63) / 64 * 64;
}

/// Inputs per slab of quantised activations.
inline constexpr int64_t kPackedSlab = 128;

/// One row's activations of one slab. Quantised activations are records [rows][slabs].
struct PackedActivations {
  /// Inputs in order, zero behind the last.
  int8_t codes[kPackedSlab];
  /// Per group (per half group of kPackedQ8Half) what the sum of its codes adds: -zero times the
  /// sum as int32, or for forms with a minimum the sum itself as float32.
  union Sum {
    int32_t integer;
    float number;
  } sums[8];
  /// One per block of packed_activation_block inputs; the rest are zero.
  float scales[4];
  float unused[4];
};
static_assert(sizeof(PackedActivations) == 192);

/// Bytes of the quantised activations of some rows; align them to 64.
[[gnu::always_inline]] constexpr size_t packed_activation_bytes(int64_t num_rows,
                                                                int64_t num_inputs) noexcept {
  return static_cast<size_t>((num_inputs + kPackedSlab - 1) / kPackedSlab * num_rows) *
         sizeof(PackedActivations);
}

/// Rows [row_begin, row_end) of x [rows, num_inputs], x_stride elements apart, into their records
/// of `out`. A block that holds a NaN or an infinity gets zero codes and a NaN as scale.
struct QuantizeActivationsArgs {
  const float* x;
  int64_t x_stride;
  int64_t num_inputs;
  int64_t row_begin;
  int64_t row_end;
  PackedActivations* out;
};

/// Outputs [output_begin, output_end) of out[r][o] = x[r] . weight[o] + bias[o] for all rows.
/// output_begin is a multiple of kPackedPanel; so is output_end unless it is the last output.
/// `weight` is the matrix's first panel, aligned to 64 bytes; bias may be null.
struct PackedLinearArgs {
  const PackedActivations* x;
  int64_t num_rows;
  const std::byte* weight;
  int64_t num_inputs;
  const float* bias;
  int64_t output_begin;
  int64_t output_end;
  float* out;
  int64_t out_stride;
  std::byte* scratch;
};

/// Rows (outputs) [row_begin, row_end) of a packed matrix as float32: out[r - row_begin][i].
struct PackedDequantizeArgs {
  const std::byte* weight;
  int64_t num_inputs;
  int64_t row_begin;
  int64_t row_end;
  float* out;
  int64_t out_stride;
};

using QuantizeActivationsFn = void (*)(const QuantizeActivationsArgs& args) noexcept;
using PackedLinearFn = void (*)(const PackedLinearArgs& args) noexcept;
using PackedDequantizeFn = void (*)(const PackedDequantizeArgs& args) noexcept;

/// The kernels of one form.
struct PackedKernels {
  QuantizeActivationsFn quantize;
  PackedLinearFn linear;
  PackedDequantizeFn dequantize;
};

}  // namespace llava::kernels
