// SPDX-License-Identifier: Apache-2.0
//
// Whose behaviour training has where the original's is not what it means.
#pragma once

#include <cstdint>

namespace llava::data {

/// --compat
enum class Compat : uint8_t {
  kIntended,   ///< the default: what the original means, and errors where it falls back silently
  kReference,  ///< the original, quirk for quirk
};

}  // namespace llava::data
