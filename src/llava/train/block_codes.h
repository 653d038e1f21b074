// SPDX-License-Identifier: Apache-2.0
//
// The number formats of QLoRA (arXiv:2305.14314): blocks of 64 weights in 4-bit codes of one scale,
// and those scales in 8-bit codes of blocks of 256; rows of weights in 8-bit codes of one scale.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace llava::train {

enum class CodeType : uint8_t { kNf4, kFp4, kInt8 };

/// A quantised matrix.
struct BlockCodes {
  CodeType type = CodeType::kNf4;
  int64_t num_values = 0;
  int64_t block_size = 64;  ///< of kInt8: a row
  /// 4 bits: two a byte, the first in the high half; kInt8: two's complement.
  std::vector<uint8_t> codes;
  /// One for each block; empty when they are in codes themselves.
  std::vector<float> scales;
  std::vector<uint8_t> scale_codes;  ///< of scales less `offset`, in blocks of 256
  std::vector<float> scale_maxima;
  float offset = 0;

  /// Bytes of codes and scales.
  int64_t num_bytes() const;
};

/// Quantises a matrix that lies row after row. `double_quant` puts the scales of 4-bit codes in
/// codes too; `row_length` is the size of a kInt8 block.
///
/// Threads: safe.   Source: bitsandbytes 0.43, quantize_4bit, quantize_blockwise, int8_vectorwise.
BlockCodes quantize_blocks(std::span<const float> values, CodeType type, bool double_quant,
                           int64_t row_length);

/// Scales of all blocks, those in codes decoded.
std::vector<float> block_scales(const BlockCodes& codes);

/// The 16 levels of a 4-bit type.
std::span<const float> code_levels(CodeType type);
/// The signed 8-bit map that scales are looked up in, rising.
std::span<const float> scale_map();

/// Values [begin, end) into `out`, with the scales of block_scales; `begin` is even.
///
/// Threads: safe; ranges may be made by several at once.
void dequantize_range(const BlockCodes& codes, std::span<const float> scales, int64_t begin,
                      int64_t end, float* out);

}  // namespace llava::train
