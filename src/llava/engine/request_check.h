// SPDX-License-Identifier: Apache-2.0
//
// What a request must be before it is queued.
#pragma once

#include <cstdint>

#include "llava/engine/generation_request.h"

namespace llava::engine {

/// What the engine has room for.
struct RequestBounds {
  int64_t capacity_tokens = 0;  ///< of the KV cache
  int32_t num_vocab = 0;
  int32_t num_layers = 0;
};

/// Most numbers that one answer about where it looked may have: tokens times tokens of pictures.
inline constexpr int64_t kMaxLookNumbers = int64_t{1} << 20;

/// Checks a request's settings, ids and pictures against what the engine has.
///
/// Throws: Error(kInvalidArgument) for settings out of range, ids outside the vocabulary, a prompt
/// that the KV cache cannot hold, or a look at a layer, or of a size, that cannot be.
void check_request(const GenerationRequest& request, const RequestBounds& bounds);

}  // namespace llava::engine
