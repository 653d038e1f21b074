// SPDX-License-Identifier: Apache-2.0
//
// Which source fills which parameter of a model: settled, and so checked, before anything is read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "llava/checkpoint/load_model.h"
#include "llava/model/parameter.h"

namespace llava::checkpoint {

/// One parameter and the source it will come from.
struct WeightAssignment {
  std::string name;
  model::Parameter* parameter;
  std::shared_ptr<const TensorSource> source;

  const TensorInfo& info() const { return source->tensors().at(name); }
};

/// Finds a source for every parameter, in the model's order. Optional parameters that no source has
/// are left out. Unexpected names are logged as a warning.
///
/// Throws: Error(kBadFormat) listing missing names, naming a wrong shape or adapters that do not
/// fit; Error(kUnsupported) for a tensor that is not of a float type.
std::vector<WeightAssignment> assign_weights(model::LlavaModel& model, const ModelWeights& weights);

}  // namespace llava::checkpoint
