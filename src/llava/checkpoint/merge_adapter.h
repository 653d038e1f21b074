// SPDX-License-Identifier: Apache-2.0
//
// The published rule for merging a LoRA adapter into a weight.
#pragma once

#include "llava/model/linear.h"
#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// weight + s * (B A) in float16, as the original merges whatever it computes in later: adapters
/// are rounded to float16, the product and the scale are float32, the difference is rounded to
/// float16 and added in float16.
///
/// Shapes: weight [O, I] -> [O, I], float16, host.
/// Source: LLaVA 1.2.2 `load_pretrained_model` with peft 0.10 (`merge_and_unload` on the CPU).
Tensor merge_adapter(const Tensor& weight_OI, const model::LoraAdapter& adapter);

}  // namespace llava::checkpoint
