// SPDX-License-Identifier: Apache-2.0
//
// Rows of the embedding table and the head for tokens that training adds.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "llava/checkpoint/tensor_source.h"
#include "llava/data/training_inputs.h"

namespace llava::train {

/// The tables of a base, `model.embed_tokens.weight` and `lm_head.weight` where it has one, with
/// rows for the new tokens: the mean of all rows before for "[PAD]" and for the start and end
/// tokens (both of which the original then has even where one was known), normal numbers of the
/// given deviation for "<im_patch>". Empty when nothing is new. Rows beyond the tokenizer's old
/// size that the base has in spare are dropped, as the published library does.
///
/// Shapes: [rows, D] -> [old size + new tokens, D].   Dtype: float32.
/// Throws: Error(kBadFormat) when a table has fewer rows than the tokenizer had tokens.
/// Source: LLaVA 1.2.2, smart_tokenizer_and_embedding_resize and initialize_vision_tokenizer.
std::map<std::string, Tensor> grown_tables(const checkpoint::TensorSource& base,
                                           const data::TrainingTokenizer& tokenizer,
                                           double deviation, uint64_t seed);

}  // namespace llava::train
