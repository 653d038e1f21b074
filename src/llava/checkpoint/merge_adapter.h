// SPDX-License-Identifier: Apache-2.0
//
// Merging a LoRA adapter into a weight: by the published rule, and exactly.
#pragma once

#include "llava/core/thread_pool.h"
#include "llava/model/linear.h"
#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// weight + s * (B A) in float16, as the original merges whatever it computes in later: adapters
/// are rounded to float16, the product and the scale are float32, the difference is rounded to
/// float16 and added in float16.
///
/// Shapes: weight [O, I] -> [O, I], float16, host.
/// Source: LLaVA 1.2.2 `load_pretrained_model` with peft 0.10 (`merge_and_unload` on the CPU).
Tensor merge_adapter(const Tensor& weight_OI, const model::LoraAdapter& adapter,
                     ThreadPool* pool = nullptr);

/// weight + s * (B A) in float32 from the values as they are stored, rounded once to `dtype`.
///
/// Shapes: weight [O, I] -> [O, I], host.   Dtype: any compute type.
/// Threads: splits rows over the pool, or runs on the calling thread without one; the result does
/// not depend on it.
Tensor merge_adapter_exactly(const Tensor& weight_OI, const model::LoraAdapter& adapter,
                             DType dtype, ThreadPool* pool = nullptr);

}  // namespace llava::checkpoint
