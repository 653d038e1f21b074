// SPDX-License-Identifier: Apache-2.0
#include "llava/image/resample_row.h"

#include <algorithm>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace llava::image {
namespace {

constexpr int kLowBits = 15;
/// 16-bit numbers of a pair of pixels.
constexpr std::size_t kPair = 8;

/// Start of the sums of one position: the rounding and the border.
std::array<int32_t, 4> first_sums(int32_t border, Rgb fill) {
  return {kResampleHalf + border * fill.red, kResampleHalf + border * fill.green,
          kResampleHalf + border * fill.blue, 0};
}

#if defined(__SSE2__)

__m128i load_pair(const int16_t* pair) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(pair));
}

/// Two neighbouring weights in every lane.
__m128i load_weights(const int16_t* pair) {
  int32_t both;
  std::memcpy(&both, pair, sizeof both);
  return _mm_set1_epi32(both);
}

/// Sums of kRows rows at one position; four channels of a row, of which the last is not used.
void sum_pairs(const std::array<const int16_t*, RowResampler::kRows>& rows, const int16_t* low,
               const int16_t* high, int32_t num_pairs, const std::array<int32_t, 4>& first,
               const std::array<uint8_t*, RowResampler::kRows>& out) {
  constexpr std::size_t kRows = RowResampler::kRows;
  struct Sums {
    __m128i low = _mm_setzero_si128();
    __m128i high = _mm_setzero_si128();
  };
  std::array<Sums, kRows> sums;
  for (std::size_t p = 0; p < static_cast<std::size_t>(num_pairs); ++p) {
    const __m128i low_weights = load_weights(low + 2 * p);
    const __m128i high_weights = load_weights(high + 2 * p);
    for (std::size_t r = 0; r < kRows; ++r) {
      const __m128i pixels = load_pair(rows[r] + p * kPair);
      sums[r].low = _mm_add_epi32(sums[r].low, _mm_madd_epi16(pixels, low_weights));
      sums[r].high = _mm_add_epi32(sums[r].high, _mm_madd_epi16(pixels, high_weights));
    }
  }
  const __m128i start = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first.data()));
  for (std::size_t r = 0; r < kRows; ++r) {
    const __m128i total =
        _mm_add_epi32(start, _mm_add_epi32(_mm_slli_epi32(sums[r].high, kLowBits), sums[r].low));
    const __m128i words = _mm_srai_epi32(total, kResamplePrecision);
    const __m128i halves = _mm_packs_epi32(words, words);
    const int32_t pixel = _mm_cvtsi128_si32(_mm_packus_epi16(halves, halves));
    std::memcpy(out[r], &pixel, 3);
  }
}

#else

void sum_pairs(const std::array<const int16_t*, RowResampler::kRows>& rows, const int16_t* low,
               const int16_t* high, int32_t num_pairs, const std::array<int32_t, 4>& first,
               const std::array<uint8_t*, RowResampler::kRows>& out) {
  for (std::size_t r = 0; r < RowResampler::kRows; ++r) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      uint32_t low_sum = 0;
      uint32_t high_sum = 0;
      const int16_t* pixels = rows[r] + 2 * channel;
      for (std::size_t p = 0; p < static_cast<std::size_t>(num_pairs); ++p, pixels += kPair) {
        low_sum += static_cast<uint32_t>(pixels[0] * low[2 * p] + pixels[1] * low[2 * p + 1]);
        high_sum += static_cast<uint32_t>(pixels[0] * high[2 * p] + pixels[1] * high[2 * p + 1]);
      }
      const auto sum = static_cast<int32_t>(static_cast<uint32_t>(first[channel]) +
                                            (high_sum << kLowBits) + low_sum);
      out[r][channel] = static_cast<uint8_t>(std::clamp(sum >> kResamplePrecision, 0, 255));
    }
  }
}

#endif

/// Two pixels, of which the second may be absent, as R R G G B B x x.
void spread_pair(const uint8_t* pixels, bool has_second, int16_t* pair) {
  for (std::size_t channel = 0; channel < 3; ++channel) {
    pair[2 * channel] = pixels[channel];
    pair[2 * channel + 1] = has_second ? pixels[3 + channel] : int16_t{0};
  }
  pair[6] = pair[7] = 0;
}

}  // namespace

RowResampler::RowResampler(const Axis& axis, int32_t width) : width_(width) {
  begin_ = width;
  positions_.reserve(axis.taps.size());
  for (const Taps& taps : axis.taps) {
    const int32_t first = taps.begin & ~1;
    const int32_t num_pairs = taps.begin < taps.end ? (taps.end - first + 1) / 2 : 0;
    positions_.push_back({first / 2, num_pairs, taps.border, low_.size()});
    if (num_pairs > 0) {
      begin_ = std::min(begin_, first);
      end_ = std::max(end_, taps.end);
    }
    for (int32_t x = first; x < first + 2 * num_pairs; ++x) {
      const bool is_tap = x >= taps.begin && x < taps.end;
      const int32_t weight =
          is_tap ? axis.weights[taps.weights + static_cast<std::size_t>(x - taps.begin)] : 0;
      low_.push_back(static_cast<int16_t>(weight & ((1 << kLowBits) - 1)));
      high_.push_back(static_cast<int16_t>(weight >> kLowBits));
    }
  }
  const std::size_t num_pairs = static_cast<std::size_t>(width / 2) + 1;
  for (std::vector<int16_t>& pairs : pairs_) pairs.resize(num_pairs * kPair);
}

void RowResampler::spread_row(const uint8_t* row, int16_t* pairs) const {
  int32_t x = begin_;
#if defined(__SSE2__)
  // Eight bytes are read for six; the last pixels are left to the loop below.
  for (; x + 4 <= std::min(end_ + 1, width_); x += 2) {
    const __m128i bytes =
        _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + static_cast<std::size_t>(x) * 3));
    const __m128i words = _mm_unpacklo_epi8(bytes, _mm_setzero_si128());
    const __m128i pair = _mm_unpacklo_epi16(words, _mm_srli_si128(words, 6));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(pairs + static_cast<std::size_t>(x / 2) * kPair),
                     pair);
  }
#endif
  for (; x < end_; x += 2) {
    spread_pair(row + static_cast<std::size_t>(x) * 3, x + 1 < width_,
                pairs + static_cast<std::size_t>(x / 2) * kPair);
  }
}

void RowResampler::resample(std::span<const uint8_t* const> rows, Rgb fill,
                            std::span<uint8_t* const> out) {
  if (rows.empty()) return;
  std::array<const int16_t*, kRows> sources;
  std::array<uint8_t*, kRows> targets;
  std::array<std::array<uint8_t, 3>, kRows> unused;
  for (std::size_t r = 0; r < rows.size(); ++r) spread_row(rows[r], pairs_[r].data());
  for (const Position& position : positions_) {
    const std::size_t x = static_cast<std::size_t>(&position - positions_.data()) * 3;
    for (std::size_t r = 0; r < kRows; ++r) {
      const bool is_row = r < rows.size();
      sources[r] =
          pairs_[is_row ? r : 0].data() + static_cast<std::size_t>(position.first_pair) * kPair;
      targets[r] = is_row ? out[r] + x : unused[r].data();
    }
    sum_pairs(sources, low_.data() + position.weights, high_.data() + position.weights,
              position.num_pairs, first_sums(position.border, fill), targets);
  }
}

}  // namespace llava::image
