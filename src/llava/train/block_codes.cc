// SPDX-License-Identifier: Apache-2.0
#include "llava/train/block_codes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "llava/core/check.h"

namespace llava::train {
namespace {

constexpr int64_t kBlock = 64;
constexpr int64_t kScaleBlock = 256;
constexpr float kMostInt8 = 127.0f;

// Quantiles of a normal distribution (arXiv:2305.14314, appendix E) and where they meet; FP4's
// codes by the three bits of their magnitude, and its magnitudes in rising order with theirs.
constexpr std::array<float, 16> kNf4Levels{-1.0f,
                                           -0.6961928009986877f,
                                           -0.5250730514526367f,
                                           -0.39491748809814453f,
                                           -0.28444138169288635f,
                                           -0.18477343022823334f,
                                           -0.09105003625154495f,
                                           0.0f,
                                           0.07958029955625534f,
                                           0.16093020141124725f,
                                           0.24611230194568634f,
                                           0.33791524171829224f,
                                           0.44070982933044434f,
                                           0.5626170039176941f,
                                           0.7229568362236023f,
                                           1.0f};
constexpr std::array<float, 15> kNf4Thresholds{
    -0.8480964004993439f,  -0.6106329262256622f,  -0.4599952697753906f,   -0.33967943489551544f,
    -0.23460740596055984f, -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f,
    0.1202552504837513f,   0.2035212516784668f,   0.2920137718319893f,    0.3893125355243683f,
    0.5016634166240692f,   0.6427869200706482f,   0.8614784181118011f};
constexpr std::array<float, 16> kFp4Levels{
    0.0f,  0.005208333333f,  0.66666667f,  1.0f,  0.33333333f,  0.5f,  0.16666667f,  0.25f,
    -0.0f, -0.005208333333f, -0.66666667f, -1.0f, -0.33333333f, -0.5f, -0.16666667f, -0.25f};
constexpr std::array<uint8_t, 8> kFp4Rising{0, 1, 6, 7, 4, 5, 2, 3};
constexpr std::array<float, 7> kFp4Thresholds{0.00260417f, 0.0859375f, 0.20833333f, 0.29166667f,
                                              0.4166667f,  0.583333f,  0.8333333f};
constexpr uint8_t kFp4Sign = 8;

// How many thresholds a value is above.
template <std::size_t N>
std::size_t rank_among(const std::array<float, N>& thresholds, float value) {
  return static_cast<std::size_t>(std::ranges::lower_bound(thresholds, value) - thresholds.begin());
}

uint8_t four_bit_code(CodeType type, float value) {
  if (type == CodeType::kNf4) return static_cast<uint8_t>(rank_among(kNf4Thresholds, value));
  const uint8_t code = kFp4Rising[rank_among(kFp4Thresholds, std::abs(value))];
  return value < 0 ? static_cast<uint8_t>(code | kFp4Sign) : code;
}

float largest_magnitude(std::span<const float> values) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

std::span<const float> block_of(std::span<const float> values, std::size_t index, int64_t size) {
  const std::size_t begin = index * static_cast<std::size_t>(size);
  return values.subspan(begin, std::min(static_cast<std::size_t>(size), values.size() - begin));
}

std::size_t num_blocks(std::size_t count, int64_t size) {
  return (count + static_cast<std::size_t>(size) - 1) / static_cast<std::size_t>(size);
}

// The nearest entry of the map. A value in the middle of two goes to the even one, where the
// published binary search has its last pivot.
uint8_t nearest_scale_code(float value) {
  const std::span<const float> map = scale_map();
  const auto above = static_cast<std::size_t>(std::ranges::lower_bound(map, value) - map.begin());
  if (above == 0) return 0;
  if (above == map.size()) return static_cast<uint8_t>(map.size() - 1);
  const std::size_t below = above - 1;
  const float middle = (map[below] + map[above]) * 0.5f;
  if (value == middle) return static_cast<uint8_t>(below % 2 == 0 ? below : above);
  return static_cast<uint8_t>(value < middle ? below : above);
}

void code_scales(BlockCodes& result) {
  double sum = 0;
  for (const float scale : result.scales) sum += static_cast<double>(scale);
  result.offset = static_cast<float>(sum / static_cast<double>(result.scales.size()));
  for (float& scale : result.scales) scale -= result.offset;
  result.scale_codes.resize(result.scales.size());
  for (std::size_t b = 0; b < num_blocks(result.scales.size(), kScaleBlock); ++b) {
    const std::span<const float> block = block_of(result.scales, b, kScaleBlock);
    const float most = largest_magnitude(block);
    result.scale_maxima.push_back(most);
    const float factor = most > 0 ? 1.0f / most : 0.0f;
    for (std::size_t i = 0; i < block.size(); ++i) {
      result.scale_codes[b * static_cast<std::size_t>(kScaleBlock) + i] =
          nearest_scale_code(block[i] * factor);
    }
  }
  result.scales = {};
}

// Bound k of `count` equal intervals of [0.1, 1], counted from the nearer end as torch.linspace
// does.
float interval_bound(int k, int count) {
  const float step = (1.0f - 0.1f) / static_cast<float>(count);
  if (k < (count + 1) / 2) return 0.1f + step * static_cast<float>(k);
  return 1.0f - step * static_cast<float>(count - k);
}

std::array<float, 256> make_scale_map() {
  std::vector<float> entries{0.0f, 1.0f};
  for (int i = 0; i <= 6; ++i) {
    const int count = 1 << i;
    const auto power = static_cast<float>(std::pow(10.0, i - 6));
    for (int k = 0; k < count; ++k) {
      const float middle = (interval_bound(k, count) + interval_bound(k + 1, count)) / 2.0f * power;
      entries.push_back(middle);
      entries.push_back(-middle);
    }
  }
  std::ranges::sort(entries);
  std::array<float, 256> map{};
  LLAVA_CHECK(entries.size() == map.size());
  std::ranges::copy(entries, map.begin());
  return map;
}

}  // namespace

std::span<const float> code_levels(CodeType type) {
  return type == CodeType::kNf4 ? kNf4Levels : kFp4Levels;
}

std::span<const float> scale_map() {
  static const std::array<float, 256> map = make_scale_map();
  return map;
}

int64_t BlockCodes::num_bytes() const {
  return static_cast<int64_t>(codes.size() + scale_codes.size() +
                              sizeof(float) * (scales.size() + scale_maxima.size()));
}

BlockCodes quantize_blocks(std::span<const float> values, CodeType type, bool double_quant,
                           int64_t row_length) {
  const bool is_wide = type == CodeType::kInt8;
  BlockCodes result{.type = type,
                    .num_values = static_cast<int64_t>(values.size()),
                    .block_size = is_wide ? row_length : kBlock};
  result.codes.resize(is_wide ? values.size() : (values.size() + 1) / 2);
  for (std::size_t b = 0; b < num_blocks(values.size(), result.block_size); ++b) {
    const std::span<const float> block = block_of(values, b, result.block_size);
    const std::size_t first = b * static_cast<std::size_t>(result.block_size);
    const float most = largest_magnitude(block);
    result.scales.push_back(most);
    const float factor = most > 0 ? (is_wide ? kMostInt8 : 1.0f) / most : 0.0f;
    for (std::size_t i = 0; i < block.size(); ++i) {
      const float scaled = block[i] * factor;
      if (is_wide) {
        result.codes[first + i] = static_cast<uint8_t>(static_cast<int8_t>(std::nearbyint(scaled)));
      } else {
        const auto code =
            static_cast<uint8_t>(four_bit_code(type, scaled) << ((first + i) % 2 == 0 ? 4 : 0));
        result.codes[(first + i) / 2] |= code;
      }
    }
  }
  if (double_quant && !is_wide) code_scales(result);
  return result;
}

std::vector<float> block_scales(const BlockCodes& codes) {
  if (codes.scale_codes.empty()) return codes.scales;
  std::vector<float> scales(codes.scale_codes.size());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    scales[i] = scale_map()[codes.scale_codes[i]] *
                    codes.scale_maxima[i / static_cast<std::size_t>(kScaleBlock)] +
                codes.offset;
  }
  return scales;
}

void dequantize_range(const BlockCodes& codes, std::span<const float> scales, int64_t begin,
                      int64_t end, float* out) {
  LLAVA_DCHECK(begin % 2 == 0);
  if (codes.type == CodeType::kInt8) {
    for (int64_t i = begin; i < end; ++i) {
      const float scale = scales[static_cast<std::size_t>(i / codes.block_size)];
      const auto code = static_cast<int8_t>(codes.codes[static_cast<std::size_t>(i)]);
      out[i - begin] = static_cast<float>(code) * (scale / kMostInt8);
    }
    return;
  }
  const std::span<const float> levels = code_levels(codes.type);
  for (int64_t i = begin; i < end; ++i) {
    const uint8_t pair = codes.codes[static_cast<std::size_t>(i / 2)];
    const uint8_t code = i % 2 == 0 ? pair >> 4 : pair & 15;
    out[i - begin] = levels[code] * scales[static_cast<std::size_t>(i / codes.block_size)];
  }
}

}  // namespace llava::train
