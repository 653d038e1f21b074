// SPDX-License-Identifier: Apache-2.0
//
// What full training changed of a language model, as low-rank adapters of its base: small enough to
// ship beside it.
#pragma once

#include <cstdint>
#include <string>

#include "llava/core/config.h"
#include "llava/core/progress.h"

namespace llava::train {

/// What `llava extract-lora` asks for.
struct ExtractLoraRequest {
  std::string model_path;
  std::string model_base;
  std::string save_model_path;
  int32_t lora_r = 16;
  std::string dtype = "float16";
  bool include_vision_tower = false;

  template <class V>
  void describe(V& v) {
    v.required("model-path", model_path, "folder of the whole model that was trained");
    v.required("model-base", model_base, "what its training began with: a folder or a GGUF file");
    v.required("save-model-path", save_model_path, "folder that receives adapters and projector");
    v.field("lora-r", lora_r, "rank of the adapters; --lora-alpha is the same", at_least(1));
    v.field("dtype", dtype, "type of all weights that are written",
            one_of({"float16", "bfloat16", "float32"}));
    v.field("include-vision-tower", include_vision_tower,
            "copy the vision tower that the model names into the folder, as vision_tower");
  }
};

struct ExtractLoraReport {
  std::string output;
  int64_t num_adapters = 0;
  int64_t num_others = 0;  ///< trained tensors that have no adapter: projector, norms
  int64_t bytes = 0;       ///< of all weights
  double mean_kept = 0;    ///< share of the squared difference that the rank keeps, mean of layers
  double least_kept = 0;
};

/// Decomposes the difference of every linear layer of the decoder (singular values) and keeps the
/// largest `lora_r`; the base is rounded to the trained model's type first, as training did. Writes
/// a folder as `llava train --lora_enable` does; what else differs is in non_lora_trainables.bin.
///
/// Threads: LibTorch's.
/// Throws: Error(kInvalidArgument) when the folder is there already; Error(kBadFormat) when the two
/// are not of the same shape; what opening the checkpoints throws.
ExtractLoraReport extract_lora(const ExtractLoraRequest& request,
                               const ProgressCallback& on_progress = {});

}  // namespace llava::train
