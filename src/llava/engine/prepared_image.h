// SPDX-License-Identifier: Apache-2.0
//
// A picture as the vision tower takes it.
#pragma once

#include "llava/engine/image_key.h"
#include "llava/image/layout.h"
#include "llava/tensor/tensor.h"

namespace llava::engine {

/// One picture, planned and preprocessed. Equal keys, equal features of one model.
struct PreparedImage {
  ImageKey key;
  image::ImageLayout layout;
  Tensor pixels_ICHW;  ///< host float32 tiles
};

}  // namespace llava::engine
