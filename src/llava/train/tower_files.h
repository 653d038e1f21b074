// SPDX-License-Identifier: Apache-2.0
//
// A vision tower as a folder of its own: what a contrastive stage starts from and what it writes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "llava/tensor/backend.h"
#include "llava/train/contrastive_model.h"
#include "llava/train/trained_parameter.h"

namespace llava::train {

/// Fills `model` with the weights of a tower's folder where it has some, and with the projections,
/// temperature and bias of an earlier contrastive stage where they lie beside them; returns
/// whether there was a tower.
///
/// Throws: Error(kBadFormat) naming a tensor that is missing or of another shape; what open_weights
/// throws.
bool load_tower(const std::filesystem::path& folder, ContrastiveModel& model);

/// Writes a CLIPVisionModel as transformers reads it: config.json and preprocessor_config.json of
/// the tower it started from, model.safetensors in float32; and contrastive_head.safetensors.
///
/// Throws: Error(kResourceExhausted) when the disk refuses.
void write_tower_folder(const std::filesystem::path& folder, const std::filesystem::path& source,
                        const std::vector<TrainedParameter>& parameters, Backend& backend);

}  // namespace llava::train
