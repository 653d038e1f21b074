// SPDX-License-Identifier: Apache-2.0
//
// A step of the engine as one rank tells it to another.
#pragma once

#include "llava/core/json.h"
#include "llava/engine/step_plan.h"

namespace llava::engine {

/// What ranks other than the first need of a plan: without pictures to encode and drop, which are
/// commands of their own.
Json to_json(const StepPlan& plan);
/// Throws: nlohmann::json::exception where it is no such plan.
StepPlan step_from_json(const Json& json);

}  // namespace llava::engine
