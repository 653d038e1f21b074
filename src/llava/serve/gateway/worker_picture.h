// SPDX-License-Identifier: Apache-2.0
//
// Pictures in the form in which the original's web server sends them to workers.
#pragma once

#include <string>

#include "llava/image/rgb_image.h"

namespace llava::serve {

/// Size at which a picture is sent: its own up to 1344 pixels, else smaller with the same shape.
/// Source: LLaVA 1.2.2 `llava/conversation.py`, process_image.
image::ImageSize worker_picture_size(image::ImageSize size);

/// The picture as base64 of a PNG file at that size. Takes a while.
std::string encode_worker_picture(const image::RgbImage& picture);

}  // namespace llava::serve
