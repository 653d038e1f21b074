// SPDX-License-Identifier: Apache-2.0
//
// The limit on the interpreter's own recursion, which macros could otherwise drive without end.
#pragma once

#include "llava/core/error.h"

namespace llava::text::jinja {

/// Deepest nesting of blocks, operations and macro calls together.
inline constexpr int kMaxRunDepth = 600;

/// Counts one level for as long as it lives.
class Recursion {
 public:
  explicit Recursion(int& depth) : depth_(depth) {
    if (depth_ >= kMaxRunDepth) {
      fail(ErrorCode::kBadFormat, "the template recurses deeper than {} levels", kMaxRunDepth);
    }
    ++depth_;
  }
  Recursion(const Recursion&) = delete;
  Recursion& operator=(const Recursion&) = delete;
  ~Recursion() { --depth_; }

 private:
  int& depth_;
};

}  // namespace llava::text::jinja
