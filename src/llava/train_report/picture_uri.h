// SPDX-License-Identifier: Apache-2.0
//
// A picture inside a page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace llava::train_report {

/// Longest side of an embedded picture, in pixels.
inline constexpr int32_t kMaxPictureEdge = 256;

/// A picture as the value of <img>'s attributes.
struct EmbeddedPicture {
  std::string uri;  ///< "data:image/png;base64,..."
  int32_t width = 0;
  int32_t height = 0;
};

/// Decodes a picture file as training does, scales it down to kMaxPictureEdge and encodes it anew,
/// so that nothing but its pixels enters the page.
///
/// Throws: Error(kNotFound) when it cannot be opened, Error(kBadFormat) or Error(kUnsupported) when
/// it cannot be decoded.   Threads: safe.
EmbeddedPicture embed_picture(const std::filesystem::path& path);

}  // namespace llava::train_report
