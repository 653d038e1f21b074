// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint's projector as a file of its own.
#pragma once

#include <string>
#include <vector>

#include "llava/core/config.h"

namespace llava::engine {

/// The flags of the original's extract_mm_projector; its first release called the model
/// --model_name_or_path.
struct ExtractProjectorRequest {
  std::string model_path;
  std::string model_name_or_path;
  std::string output;

  template <class V>
  void describe(V& v) {
    v.field("model-path", model_path, "checkpoint: a folder, or org/name of the hub");
    v.field("model-name-or-path", model_name_or_path, "the same, as older scripts write it");
    v.required("output", output, "file to write, mm_projector.bin, or an existing folder for it");
  }
};

struct ExtractProjectorReport {
  std::vector<std::string> files;  ///< PyTorch's form, then safetensors
  std::vector<std::string> names;  ///< of the tensors
};

/// Writes every tensor whose name contains mm_projector or vision_resampler, unchanged, as a
/// PyTorch file and as a safetensors file beside it. A checkpoint of llava-hf has them under the
/// original's names. A LoRA folder gives its non_lora_trainables.bin.
///
/// Throws: Error(kInvalidArgument) when not exactly one of the two flags is given;
/// Error(kNotFound) for a missing folder and for a checkpoint without a projector;
/// Error(kUnsupported) for quantised weights; Error(kResourceExhausted).
/// Source: LLaVA scripts/extract_mm_projector.py.
ExtractProjectorReport extract_projector(const ExtractProjectorRequest& request);

}  // namespace llava::engine
