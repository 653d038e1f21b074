// SPDX-License-Identifier: Apache-2.0
#include "llava/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace llava::model {
namespace {

// The three bands of Llama 3.1's scaling: high frequencies stay, low ones are divided, and those
// between are blended by how many wavelengths fit the original context.
float llama3_frequency(const RopeConfig& config, float frequency) {
  const auto factor = static_cast<float>(config.factor);
  const auto low = static_cast<float>(config.low_freq_factor);
  const auto high = static_cast<float>(config.high_freq_factor);
  const auto original = static_cast<float>(config.original_max_position_embeddings);
  const float wavelength = 2.0f * std::numbers::pi_v<float> / frequency;
  if (wavelength > original / low) return frequency / factor;
  if (wavelength < original / high) return frequency;
  const float smooth = (original / wavelength - low) / (high - low);
  return (1.0f - smooth) * frequency / factor + smooth * frequency;
}

}  // namespace

std::vector<float> rope_frequencies(const RopeConfig& config, int32_t head_dim,
                                    int32_t max_position_embeddings, int64_t sequence_length) {
  double theta = config.theta;
  if (config.scaling == RopeScaling::kDynamic && sequence_length > max_position_embeddings) {
    const double ratio = config.factor * static_cast<double>(sequence_length) /
                             static_cast<double>(max_position_embeddings) -
                         (config.factor - 1.0);
    theta *= std::pow(ratio, static_cast<double>(head_dim) / (head_dim - 2));
  }
  std::vector<float> frequencies(static_cast<std::size_t>(head_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    // The published code divides in float32 and raises the base to a float32 power.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    float frequency = 1.0f / std::pow(static_cast<float>(theta), exponent);
    if (config.scaling == RopeScaling::kLinear) frequency /= static_cast<float>(config.factor);
    if (config.scaling == RopeScaling::kLlama3) frequency = llama3_frequency(config, frequency);
    frequencies[i] = frequency;
  }
  return frequencies;
}

RopeTables rope_tables(const DecoderConfig& config, std::span<const int32_t> positions,
                       DType dtype) {
  const int64_t num_tokens = static_cast<int64_t>(positions.size());
  const int64_t last =
      positions.empty() ? 0 : *std::max_element(positions.begin(), positions.end());
  const std::vector<float> frequencies =
      rope_frequencies(config.rope, config.head_dim, config.max_position_embeddings, last + 1);
  Tensor cos_TE = Tensor::empty({num_tokens, config.head_dim}, DType::kFloat32);
  Tensor sin_TE = Tensor::empty({num_tokens, config.head_dim}, DType::kFloat32);
  float* cos_row = cos_TE.mutable_data<float>().data();
  float* sin_row = sin_TE.mutable_data<float>().data();
  const std::size_t half = frequencies.size();
  for (const int32_t position : positions) {
    for (std::size_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * frequencies[i];
      cos_row[i] = cos_row[i + half] = std::cos(angle);
      sin_row[i] = sin_row[i + half] = std::sin(angle);
    }
    cos_row += config.head_dim;
    sin_row += config.head_dim;
  }
  return {host_cast(cos_TE, dtype), host_cast(sin_TE, dtype)};
}

}  // namespace llava::model
