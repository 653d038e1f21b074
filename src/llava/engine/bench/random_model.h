// SPDX-License-Identifier: Apache-2.0
//
// Models of random numbers in memory: as large and as fast as a trained one of the same shape and
// forms, ready in seconds and without a file. What they answer is nonsense.
#pragma once

#include <memory>

#include "llava/core/progress.h"
#include "llava/model/llava_model.h"

namespace llava::engine {

/// In which form each part is held.
struct RandomModelForms {
  /// Matrices of the decoder and the head: a float type or a packed form. The embedding table is
  /// float16 beside packed matrices, and norms are float32; else both have this type.
  DType language = DType::kFloat32;
  DType projector = DType::kFloat32;
  DType vision = DType::kFloat32;
};

/// Builds the model of `config`. Weights have the size of trained ones (0.02 or so), of either
/// sign; norms are 1 and biases 0. The same shape and forms give the same numbers.
///
/// Throws: Error(kResourceExhausted) when it does not fit.
std::unique_ptr<model::LlavaModel> make_random_model(Context& ctx, const model::LlavaConfig& config,
                                                     const RandomModelForms& forms,
                                                     const ProgressCallback& on_progress = {});

/// Bytes of all parameters of a model, a tied head counted once.
int64_t parameter_bytes(const model::LlavaModel& model);
/// How many numbers they stand for.
int64_t parameter_count(const model::LlavaModel& model);

}  // namespace llava::engine
