// SPDX-License-Identifier: Apache-2.0
//
// Choosing and preparing LibTorch's device and its process-wide settings.
#pragma once

#include "llava/tensor/dtype.h"

namespace llava {

/// Throws: Error(kUnavailable) when LibTorch cannot use `device`; the message says what it found.
void require_torch_device(Device device);

/// Sets the thread count (0 leaves it) and asks for float32 sums in 16-bit matrix products.
void configure_torch(int num_threads);

}  // namespace llava
