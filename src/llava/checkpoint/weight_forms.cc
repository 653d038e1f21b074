// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/weight_forms.h"

#include <array>

namespace llava::checkpoint {
namespace {

// The first row whose prefix and suffix both match decides; only matrices are looked up.
struct Row {
  std::string_view prefix;
  std::string_view suffix;
  WeightPart part;
};

constexpr std::array<Row, 7> kRows = {{
    {"model.vision_tower.", "_proj.weight", WeightPart::kVision},
    {"model.vision_tower.", ".fc1.weight", WeightPart::kVision},
    {"model.vision_tower.", ".fc2.weight", WeightPart::kVision},
    {"model.mm_projector.", "weight", WeightPart::kProjector},
    {"model.layers.", "_proj.weight", WeightPart::kLanguage},
    {"model.embed_tokens.", "weight", WeightPart::kTable},
    {"lm_head.", "weight", WeightPart::kHead},
}};

// Of a language model with four bits: the head's errors reach the probabilities unattenuated.
constexpr DType kHeadOf4Bits = DType::kPackedQ8;

}  // namespace

WeightPart weight_part(std::string_view name, const Shape& shape, bool is_head_tied) {
  if (shape.size() != 2) return WeightPart::kOther;
  for (const Row& row : kRows) {
    if (!name.starts_with(row.prefix) || !name.ends_with(row.suffix)) continue;
    return row.part == WeightPart::kTable && is_head_tied ? WeightPart::kHead : row.part;
  }
  return WeightPart::kOther;
}

std::optional<DType> WeightForms::of(WeightPart part) const {
  switch (part) {
    case WeightPart::kLanguage:
      return language;
    case WeightPart::kHead:
      return head;
    case WeightPart::kTable:
      return table;
    case WeightPart::kProjector:
      return projector;
    case WeightPart::kVision:
      return vision;
    case WeightPart::kOther:
      break;
  }
  return std::nullopt;
}

bool WeightForms::is_quantized() const { return language || head || table || projector || vision; }

WeightForms forms_of_4_bits() {
  return {.language = DType::kPackedQ4,
          .head = kHeadOf4Bits,
          .table = std::nullopt,
          .projector = DType::kPackedQ8,
          .vision = std::nullopt};
}

WeightForms forms_of_8_bits() {
  return {.language = DType::kPackedQ8,
          .head = DType::kPackedQ8,
          .table = std::nullopt,
          .projector = DType::kPackedQ8,
          .vision = std::nullopt};
}

}  // namespace llava::checkpoint
