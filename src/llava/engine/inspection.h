// SPDX-License-Identifier: Apache-2.0
//
// What a checkpoint is, without loading it: architecture, tensors, memory, problems.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "llava/engine/pretrained.h"

namespace llava::engine {

/// Describes a checkpoint as one JSON object (docs/cli.md, `llava inspect`). What keeps it from
/// being used is listed under "problems" instead of being thrown, as far as the files allow.
///
/// Throws: Error when not even the configuration can be read.
nlohmann::ordered_json inspect_checkpoint(const LoadRequest& request);

}  // namespace llava::engine
