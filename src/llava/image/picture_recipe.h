// SPDX-License-Identifier: Apache-2.0
//
// Texts that name how pictures are decoded and preprocessed, for cache keys: equal texts, equal
// arithmetic.
#pragma once

#include <string>

#include "llava/image/decode.h"
#include "llava/image/layout.h"
#include "llava/image/processor_config.h"

namespace llava::image {

/// Every setting that decides how RGB pixels become the tower's numbers and the prompt's rows.
std::string preprocessing_recipe(const ImageProcessorConfig& processor,
                                 const ImageGeometry& geometry);

/// Every setting that changes the pixels of a decoded file. Limits are not among them: a picture
/// above one is refused, not changed.
std::string decode_recipe(const DecodeOptions& options);

}  // namespace llava::image
