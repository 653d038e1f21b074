// SPDX-License-Identifier: Apache-2.0
//
// Translates LibTorch's exceptions into ours at the seam.
#pragma once

namespace llava {

/// Call inside a catch block: throws the current exception again, a LibTorch one as an Error of
/// kResourceExhausted (no memory) or kInternal with the first line of its message.
[[noreturn]] void rethrow_as_error();

}  // namespace llava
