// SPDX-License-Identifier: Apache-2.0
//
// What a request must be before it is queued.
#pragma once

#include <cstdint>

#include "llava/engine/generation_request.h"

namespace llava::engine {

/// Checks a request's settings, ids and pictures against what the engine has.
///
/// Throws: Error(kInvalidArgument) for settings out of range, ids outside a vocabulary of
/// `num_vocab` or a prompt that a KV cache of `capacity_tokens` cannot hold.
void check_request(const GenerationRequest& request, int64_t capacity_tokens, int32_t num_vocab);

}  // namespace llava::engine
