// SPDX-License-Identifier: Apache-2.0
//
// Tables of the rotary position embedding (arXiv:2104.09864) and its published scalings.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/model/config.h"
#include "llava/tensor/tensor.h"

namespace llava::model {

/// Frequencies theta^(-2i/E) for i in [0, E/2), scaled as the configuration says. `sequence_length`
/// matters to dynamic scaling only: it is the number of tokens cached and new.
///
/// Source: transformers `modeling_rope_utils`; the llama3 form is that of Llama 3.1.
std::vector<float> rope_frequencies(const RopeConfig& config, int32_t head_dim,
                                    int32_t max_position_embeddings, int64_t sequence_length);

/// Cosines and sines of one row per token.
struct RopeTables {
  Tensor cos_TE;
  Tensor sin_TE;
};

/// Host tables for the given positions, both halves alike, float32 rounded to `dtype`.
RopeTables rope_tables(const DecoderConfig& config, std::span<const int32_t> positions,
                       DType dtype);

}  // namespace llava::model
