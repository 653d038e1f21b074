// SPDX-License-Identifier: Apache-2.0
//
// Calibration: which inputs of a matrix matter, from samples that the unquantised model reads.
#pragma once

#include <filesystem>

#include "llava/core/progress.h"
#include "llava/engine/pretrained.h"
#include "llava/engine/quantize/activation_recorder.h"

namespace llava::engine {

/// Reads a file of samples, one a line, with the model of `request`. A line is a text, or a JSON
/// object {"text": ..., "image": FILE} whose question is asked about the picture (relative to the
/// file's folder) by the checkpoint's template. Reports samples.
///
/// Throws: Error(kBadFormat) naming the line; Error(kInvalidArgument) for a file without samples;
/// what opening the checkpoint and reading pictures throw.
InputMeanSquares calibrate(Context& ctx, const LoadRequest& request,
                           const std::filesystem::path& file, const ProgressCallback& on_progress);

}  // namespace llava::engine
