// SPDX-License-Identifier: Apache-2.0
//
// Weights that stay in their mapped files. They are no memory of the process, so the system counts
// their pages as available: a plan has to count them.
#pragma once

#include <cstdint>

#include "llava/model/llava_model.h"

namespace llava::engine {

/// Bytes of the parameters that are views of mapped files, adapters included. The model is only
/// read.
int64_t mapped_weight_bytes(model::LlavaModel& model);

}  // namespace llava::engine
