// SPDX-License-Identifier: Apache-2.0
//
// Embedding tables whose row count is not the configuration's: bases of adapters that added tokens,
// and projector files that hold only the rows of new tokens. Also a source made of loose tensors.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "llava/checkpoint/tensor_source.h"
#include "llava/model/config.h"

namespace llava::checkpoint {

/// Makes `model.embed_tokens.weight` and `lm_head.weight` of the sources fit `config.vocab_size`.
///
/// A source (other than the last) with fewer rows than the next one's table holds the rows of the
/// newest tokens: they replace the rows before `num_tokens` (the tokenizer's size). A table with
/// fewer rows than the configuration is filled with zeros, which is logged as a warning: the
/// original fills with random numbers.
std::vector<std::shared_ptr<const TensorSource>> fit_tables(
    std::vector<std::shared_ptr<const TensorSource>> sources, const model::DecoderConfig& config,
    int32_t num_tokens);

/// A source that holds these tensors. `file` names them in messages.
std::shared_ptr<const TensorSource> source_of_tensors(std::map<std::string, Tensor> tensors,
                                                      const std::string& file);

}  // namespace llava::checkpoint
