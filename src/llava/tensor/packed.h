// SPDX-License-Identifier: Apache-2.0
//
// Packed weight matrices: where codes, scales and minima of a [outputs, inputs] matrix lie, and how
// one group of them is written and read. docs/kernels.md describes the bytes; kernels/packed.h
// multiplies with them.
//
// A matrix is cut into panels of 16 outputs and groups of 32 inputs, the last of each filled up
// with weights of zero. A panel holds the codes of all its groups, then their scales, then their
// minima, and its size is a multiple of 64 bytes. One layout serves every instruction set, the
// packed store and memory.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "llava/tensor/tensor.h"

namespace llava {

static_assert(std::endian::native == std::endian::little, "packed bytes are little-endian");

/// Outputs of a panel.
inline constexpr int64_t kPackedPanel = 16;
/// Inputs of a group.
inline constexpr int64_t kPackedGroup = 32;

/// 4 or 8: bits of one code of a packed form.
int packed_code_bits(DType dtype) noexcept;
/// Whether weights are scale * code + minimum instead of scale * (code - zero).
bool has_minimum(DType dtype) noexcept;
/// The code of a weight of zero, where the minimum (if any) is zero too.
uint8_t zero_code(DType dtype) noexcept;

/// Bytes of a packed matrix of this shape; nothing when it is no matrix or the size does not fit.
std::optional<int64_t> packed_bytes(DType dtype, std::span<const int64_t> shape) noexcept;

/// One output's codes of one group, with what turns them into weights.
struct PackedGroup {
  std::array<uint8_t, kPackedGroup> codes;
  /// float16 bits; the second is that of inputs 16..31 and kPackedQ8Half's only.
  std::array<uint16_t, 2> scales;
  uint16_t minimum;  ///< float16 bits; of the forms with a minimum only
};

/// Where the parts of a packed matrix lie. All offsets are in bytes.
///
/// Threads: a value.
class PackedLayout {
 public:
  /// Throws: Error(kInternal) for another dtype, or a shape that packed_bytes has nothing for.
  PackedLayout(DType dtype, std::span<const int64_t> shape);

  DType dtype() const noexcept { return dtype_; }
  int64_t num_outputs() const noexcept { return num_outputs_; }
  int64_t num_inputs() const noexcept { return num_inputs_; }
  int64_t num_panels() const noexcept { return num_panels_; }
  int64_t num_groups() const noexcept { return num_groups_; }
  /// Distance between two panels.
  int64_t panel_bytes() const noexcept { return panel_bytes_; }
  /// Of the codes of one group, inside a panel; then of its scales, and of its minima.
  int64_t code_offset(int64_t group) const noexcept { return group * code_bytes_; }
  int64_t scale_offset(int64_t group) const noexcept {
    return num_groups_ * code_bytes_ + group * scale_bytes_;
  }
  int64_t minimum_offset(int64_t group) const noexcept {
    return scale_offset(num_groups_) + group * kPackedPanel * 2;
  }

  /// Writes one group of one output into the matrix at `matrix`. Whoever fills a matrix sets its
  /// panels to bytes of zero first: outputs that only fill up a panel have scales of zero.
  void write(std::byte* matrix, int64_t output, int64_t group,
             const PackedGroup& value) const noexcept;
  PackedGroup read(const std::byte* matrix, int64_t output, int64_t group) const noexcept;

 private:
  DType dtype_;
  int64_t num_outputs_, num_inputs_, num_panels_, num_groups_;
  int64_t code_bytes_, scale_bytes_, panel_bytes_;
};

/// The weights of one group as float32: scale * (code - zero) exactly, or scale * code + minimum
/// rounded once.
void dequantize_group(DType dtype, const PackedGroup& group,
                      std::span<float, kPackedGroup> weights) noexcept;

/// Weights of output `output` of a packed host matrix, `out` as many as it has inputs.
void dequantize_row(const Tensor& packed_OI, int64_t output, std::span<float> out);
/// The whole matrix as float32, in host memory.
Tensor dequantize(const Tensor& packed_OI);

/// Outputs [begin, end) of a packed host matrix as a matrix of its own; whole panels, so both are
/// multiples of kPackedPanel, but for an end that is the matrix's. Throws: Error(kInternal) for
/// others.
Tensor packed_rows(const Tensor& packed_OI, int64_t begin, int64_t end);
/// The same of inputs and kPackedGroup.
Tensor packed_columns(const Tensor& packed_OI, int64_t begin, int64_t end);

inline void PackedLayout::write(std::byte* matrix, int64_t output, int64_t group,
                                const PackedGroup& value) const noexcept {
  std::byte* panel = matrix + output / kPackedPanel * panel_bytes_;
  const int64_t row = output % kPackedPanel;
  // Words of four codes, interleaved over the outputs of the panel.
  std::array<uint32_t, kPackedGroup / 4> words;
  std::memcpy(words.data(), value.codes.data(), sizeof(words));
  std::byte* codes = panel + code_offset(group) + row * 4;
  if (packed_code_bits(dtype_) == 4) {
    for (std::size_t pair = 0; pair < words.size() / 2; ++pair) {
      const uint32_t both = words[2 * pair] | words[2 * pair + 1] << 4;
      std::memcpy(codes + pair * 4 * kPackedPanel, &both, 4);
    }
  } else {
    for (std::size_t step = 0; step < words.size(); ++step) {
      std::memcpy(codes + step * 4 * kPackedPanel, &words[step], 4);
    }
  }
  std::byte* scales = panel + scale_offset(group) + row * 2;
  std::memcpy(scales, &value.scales[0], 2);
  if (dtype_ == DType::kPackedQ8Half) std::memcpy(scales + 2 * kPackedPanel, &value.scales[1], 2);
  if (has_minimum(dtype_)) std::memcpy(panel + minimum_offset(group) + row * 2, &value.minimum, 2);
}

inline int packed_code_bits(DType dtype) noexcept {
  return dtype == DType::kPackedQ4 || dtype == DType::kPackedQ4Min ? 4 : 8;
}

inline bool has_minimum(DType dtype) noexcept {
  return dtype == DType::kPackedQ4Min || dtype == DType::kPackedQ8Min;
}

}  // namespace llava
