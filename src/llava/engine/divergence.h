// SPDX-License-Identifier: Apache-2.0
//
// How far a model's next-token distributions are from another's: what training did to the rest of
// what a language model can.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/model/llava_model.h"

namespace llava::engine {

/// Sums over tokens; means are had from a Divergence of whole texts.
struct Divergence {
  int64_t num_tokens = 0;
  int64_t num_same = 0;  ///< tokens whose most likely id is the same
  double sum = 0;        ///< Kullback-Leibler divergence, nats

  double mean() const { return num_tokens == 0 ? 0 : sum / static_cast<double>(num_tokens); }
  double same() const {
    return num_tokens == 0 ? 0 : static_cast<double>(num_same) / static_cast<double>(num_tokens);
  }
};

/// A text and the rows of it whose next token is compared.
struct ScoredText {
  std::vector<int32_t> ids;
  std::vector<int32_t> rows;
};

/// Adds KL(reference || model) at the rows of a text. Both models have the same vocabulary.
///
/// Throws: Error(kInvalidArgument) when they have not.   Threads: one forward pass at a time.
void add_divergence(Context& ctx, const model::LlavaModel& reference,
                    const model::LlavaModel& model, const ScoredText& text, Divergence& total);

}  // namespace llava::engine
