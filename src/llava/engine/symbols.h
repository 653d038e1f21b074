// SPDX-License-Identifier: Apache-2.0
//
// Symbol: one position of a prompt as the caches see it. Two prompts share keys and values exactly
// as far as their symbols are equal.
#pragma once

#include <compare>
#include <cstdint>

namespace llava::engine {

/// A text token, or one row of a picture's features.
struct Symbol {
  uint64_t image = 0;  ///< interned number of the picture (image_registry.h); 0: text
  int32_t value = 0;   ///< text: the token's id; picture: the row's offset in it

  friend auto operator<=>(const Symbol&, const Symbol&) = default;
};

}  // namespace llava::engine
