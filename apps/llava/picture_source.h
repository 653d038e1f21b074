// SPDX-License-Identifier: Apache-2.0
//
// Pictures as the user names them: files, or http(s) addresses that the terminal client fetches.
#pragma once

#include <string>

#include "llava/core/config.h"
#include "llava/image/decode.h"
#include "llava/image/rgb_image.h"

namespace llava::app {

/// How pictures are read.
struct PictureOptions {
  bool exif_transpose = false;
  std::string rgba_background;
  int64_t max_pixels = image::DecodeOptions{}.max_pixels;

  template <class V>
  void describe(V& v) {
    v.field("exif-transpose", exif_transpose,
            "turn pictures as their EXIF orientation says (the original does not)");
    v.field("rgba-background", rgba_background,
            "white: put transparent pictures on white, as transformers 5 does; empty: drop alpha",
            one_of({"", "white"}));
    v.field("max-pixels", max_pixels, "largest picture that is decoded, in pixels",
            at_least(int64_t{1}));
  }
};

/// The bytes of a picture's file, from a path or from an address that begins with http:// or
/// https://.
///
/// Throws: Error(kNotFound); Error(kBadFormat) for more than `max_bytes`; Error(kUnavailable) for
/// an address that does not answer.
std::string read_picture(const std::string& location,
                         uint64_t max_bytes = image::DecodeOptions{}.max_bytes);

/// Reads a picture from a path, or from an address that begins with http:// or https://.
///
/// Throws: Error(kNotFound), Error(kBadFormat), Error(kUnsupported), Error(kUnavailable) for an
/// address that does not answer; all name the picture.
image::RgbImage load_picture(const std::string& location, const PictureOptions& options,
                             int num_threads = 1);

}  // namespace llava::app
