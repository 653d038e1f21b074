// SPDX-License-Identifier: Apache-2.0
//
// Fills a LlavaModel with the tensors of its sources: everything is checked first, then loaded.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llava/checkpoint/tensor_source.h"
#include "llava/checkpoint/weight_forms.h"
#include "llava/core/progress.h"
#include "llava/model/llava_model.h"

namespace llava::checkpoint {

/// Where a model's tensors come from. All names are the original release's.
struct ModelWeights {
  /// In order of precedence: a tensor is taken from the first source that has it (a LoRA folder's
  /// own tensors stand before its base).
  std::vector<std::shared_ptr<const TensorSource>> sources;
  /// Low-rank updates by the name of their linear layer ("model.layers.0.self_attn.q_proj").
  std::map<std::string, model::LoraAdapter> adapters;
};

/// How the tensors are held.
struct LoadModelOptions {
  DType dtype = DType::kFloat32;         ///< compute type of the decoder
  DType vision_dtype = DType::kFloat32;  ///< of the vision tower
  /// Of the projector; nothing: the decoder's.
  std::optional<DType> projector_dtype;
  /// Matrices held packed; the others, and whatever is no matrix, have their part's compute type. A
  /// matrix whose source has it packed with as few bits stays as it is.
  WeightForms forms;
  /// Of the embedding table of an untied head where it has no form; nothing: as stored beside
  /// packed matrices, else the decoder's.
  std::optional<DType> table_dtype;
  /// Matrices that their source has packed stay so where `forms` says nothing.
  bool keeps_packed = false;
  /// Adds the adapters to the weights by the published rule (float16) instead of keeping them
  /// beside the weights. What is to be packed is packed afterwards; a matrix that its source has
  /// packed then has another form than before, of 8 bits where `forms` says nothing.
  bool merges_adapters = false;
  /// Rounds decoder and projector weights to float16 first, as the original does on loading
  /// whatever is computed later.
  bool rounds_to_float16 = false;
  /// Reports bytes loaded of all bytes; may be empty.
  ProgressCallback on_progress;
};

/// Builds the model of `config` and loads every parameter onto the backend's device.
///
/// Names, shapes and adapters are checked before any tensor is read; unexpected names are logged as
/// a warning. A tensor whose dtype is the one wanted stays in its mapped file (native backend), and
/// so does the embedding table of an untied head where packed matrices are kept.
/// Throws: Error(kBadFormat) listing missing names or naming a wrong shape (both shapes, and what
/// may be the cause); Error(kUnsupported) for a tensor that is not of a float type;
/// Error(kResourceExhausted).
std::unique_ptr<model::LlavaModel> load_model(Context& ctx, const model::LlavaConfig& config,
                                              const ModelWeights& weights,
                                              const LoadModelOptions& options);

/// What keeps these sources from filling the model, as load_model would report it; empty if
/// nothing.
std::vector<std::string> find_problems(const model::LlavaConfig& config,
                                       const ModelWeights& weights);

/// Bytes that the parameters of `config` need when they are loaded so, tied head counted once.
/// Parameters that no source has count as if they were floats, optional ones not at all.
struct WeightBytes {
  int64_t decoder = 0;
  int64_t projector = 0;
  int64_t vision = 0;
  /// The same bytes by the type they are held in.
  std::map<DType, int64_t> by_dtype;

  int64_t total() const { return decoder + projector + vision; }
};
WeightBytes weight_bytes(const model::LlavaConfig& config, const ModelWeights& weights,
                         const LoadModelOptions& options);

}  // namespace llava::checkpoint
