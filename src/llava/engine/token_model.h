// SPDX-License-Identifier: Apache-2.0
//
// What decoding needs of a model: sequences that can be extended by a token, copied and released.
// The real one is ModelRunner; tests use a table of logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace llava::engine {

/// One sequence and the token to append to it.
struct SequenceToken {
  int32_t sequence = 0;
  int32_t token = 0;
};

/// Threads: one thread at a time.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  /// Appends one token to each of several sequences and returns the float32 logits that follow,
  /// one row per entry.
  virtual std::vector<std::vector<float>> step(std::span<const SequenceToken> tokens) = 0;
  /// A copy of a sequence that can be extended on its own.
  virtual int32_t fork(int32_t sequence) = 0;
  virtual void release(int32_t sequence) = 0;
};

}  // namespace llava::engine
