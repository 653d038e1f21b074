// SPDX-License-Identifier: Apache-2.0
//
// Quantising a checkpoint into a folder of its own: a packed store and everything else that
// answering needs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "llava/checkpoint/weight_forms.h"
#include "llava/core/config.h"
#include "llava/core/progress.h"
#include "llava/core/thread_pool.h"
#include "llava/tensor/backend.h"

namespace llava::engine {

/// What to quantise, to which precision, and where the result goes.
struct QuantizeRequest {
  std::string model_path;
  std::string model_base;
  std::string model_name;
  std::string vision_tower;
  std::string output;
  std::string lm = "q4";
  std::string head = "auto";
  std::string embeddings = "auto";
  std::string projector = "auto";
  std::string vision = "bf16";
  std::string format = "llava";
  std::string calibrate;
  bool force = false;

  template <class V>
  void describe(V& v) {
    v.required("output", output, "folder to write, which needs no other files");
    v.field("model-path", model_path,
            "checkpoint: a folder, a GGUF language model, or org/name of the hub; without it the "
            "bundled model is used");
    v.field("model-base", model_base,
            "base language model of a LoRA or projector-only checkpoint; adapters are merged");
    v.field("model-name", model_name, "name to choose the template by, instead of the path's");
    v.field("vision-tower", vision_tower, "folder of the vision tower");
    v.field("lm", lm, "precision of the language model's matrices",
            one_of({"q4", "q4_min", "q8", "bf16", "f16", "f32"}));
    v.field("head", head, "of its last matrix: auto is q8 in a quantised model",
            one_of({"auto", "q4", "q4_min", "q8", "bf16", "f16", "f32"}));
    v.field("embeddings", embeddings,
            "of the token table, where it is not the head: auto keeps the checkpoint's",
            one_of({"auto", "q8", "bf16", "f16", "f32"}));
    v.field("projector", projector, "of the projector: auto is q8 in a quantised model",
            one_of({"auto", "q8", "bf16", "f16", "f32"}));
    v.field("vision", vision, "of the vision tower", one_of({"bf16", "q8", "f16", "f32"}));
    v.field("format", format,
            "llava: a packed store; gguf: model.gguf and mmproj.gguf, for llama.cpp as well",
            one_of({"llava", "gguf"}));
    v.field(
        "calibrate", calibrate,
        "file of samples, one a line: a text, or {\"text\": ..., \"image\": FILE}; inputs that are "
        "large in them weigh more in 4-bit matrices");
    v.field("force", force, "replace a folder that an earlier 'llava quantize' wrote");
  }
};

/// What became of one tensor.
struct QuantizedTensor {
  std::string name;
  std::string part;       ///< "language", "head", "embeddings", "projector", "vision", "other"
  std::string stored_as;  ///< the source's own name of the type
  DType dtype = DType::kFloat32;
  int64_t bytes = 0;
  double squared_error = 0;
  double squared_norm = 0;

  double relative_rms() const;
};

struct QuantizeReport {
  std::string output;
  std::vector<QuantizedTensor> tensors;  ///< in the order of the store
  uint64_t bytes = 0;                    ///< of the store, or of both GGUF files
  double seconds = 0;
};

/// Quantises tensor by tensor into a folder beside the output, which is renamed when all is done.
/// Reports bytes written.
///
/// Throws: Error(kInvalidArgument) for an output that exists (without `force`, or when it is no
/// packed store) and for precisions that do not go together; Error(kResourceExhausted) with the sum
/// when memory or disk will not do; what reading the checkpoint throws.
/// `ctx` has a pool. The backend is used for the calibration only, whose samples are reported
/// first.
QuantizeReport quantize_checkpoint(Context& ctx, const QuantizeRequest& request,
                                   const ProgressCallback& on_progress = {});

/// What is damaged in the packed store of a checkpoint folder, see PackedStore::verify.
///
/// Throws: Error(kNotFound) when the folder has none; what opening it throws.
std::vector<std::string> verify_packed_store(ThreadPool& pool, const std::string& folder,
                                             const ProgressCallback& on_progress = {});

}  // namespace llava::engine
