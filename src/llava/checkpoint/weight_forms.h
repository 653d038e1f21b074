// SPDX-License-Identifier: Apache-2.0
//
// What form each parameter of a model is held in: the one table that says which matrices may be
// packed, and which parameters keep their precision.
#pragma once

#include <optional>
#include <string_view>

#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// Parts of a model whose matrices may have a form of their own.
enum class WeightPart : uint8_t {
  kLanguage,   ///< linear layers of the decoder
  kHead,       ///< lm_head, or the embedding table where the head is tied to it
  kTable,      ///< the embedding table of an untied head: rows are only looked up
  kProjector,  ///< linear layers of the projector
  kVision,     ///< linear layers of the vision tower
  kOther,      ///< norms, biases, newline, class, patch and position embeddings: never packed
};

/// The part of a parameter, by the original's name of it.
WeightPart weight_part(std::string_view name, const Shape& shape, bool is_head_tied);

/// The packed form of each part; nothing where its matrices are floats.
struct WeightForms {
  std::optional<DType> language;
  std::optional<DType> head;
  std::optional<DType> table;
  std::optional<DType> projector;
  std::optional<DType> vision;

  std::optional<DType> of(WeightPart part) const;
  bool is_quantized() const;
};

/// The forms of --load-4bit and --load-8bit. As in the original the projector is quantised and the
/// vision tower is not, even where the original's loading order quantises it; the projector has 8
/// bits in both. The head, which the original keeps in float16, has 8 bits.
WeightForms forms_of_4_bits();
WeightForms forms_of_8_bits();

}  // namespace llava::checkpoint
