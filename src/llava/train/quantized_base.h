// SPDX-License-Identifier: Apache-2.0
//
// --bits 4 and 8: a frozen language model in codes, for adapters to train beside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/core/thread_pool.h"
#include "llava/model/llava_model.h"
#include "llava/train/train_config.h"

namespace llava::train {

/// Whether a run holds the weight of this name in codes: linear layers of the decoder. The head is
/// one of them under --compat reference, where the original's list of exceptions leaves it out.
bool is_quantized(const std::string& name, const TrainConfig& config);

/// Bytes of `count` weights in rows of `row_length`, codes and scales.
int64_t quantized_bytes(int64_t count, int64_t row_length, const LoraArguments& lora);

/// Puts the weights that is_quantized names in codes. Products with them widen one matrix to the
/// run's type for as long as they run, in both directions. Nothing happens with --bits 16.
///
/// Throws: Error(kUnsupported) when the model is not on the processor.   Threads: uses `pool`.
void quantize_base(model::LlavaModel& model, const TrainConfig& config, ThreadPool& pool);

}  // namespace llava::train
