// SPDX-License-Identifier: Apache-2.0
//
// ImageProcessorConfig: how pixels become the vision tower's numbers, as published beside a tower
// or a checkpoint in preprocessor_config.json or processor_config.json.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "llava/image/image_size.h"
#include "llava/image/rgb_image.h"

namespace llava::image {

/// The published image processors whose arithmetic is known here.
enum class ProcessorKind : uint8_t { kClip, kSiglip, kLlava, kLlavaNext, kLlavaOnevision };

/// Mean and deviation of OpenAI's CLIP.
inline constexpr std::array<double, 3> kClipMean = {0.48145466, 0.4578275, 0.40821073};
inline constexpr std::array<double, 3> kClipStd = {0.26862954, 0.26130258, 0.27577711};

/// Settings of an image processor; the defaults are those of CLIP at 224 pixels.
struct ImageProcessorConfig {
  ProcessorKind kind = ProcessorKind::kClip;
  bool do_resize = true;
  /// Length of the shorter side after the resize; 0 when `exact_size` rules.
  int32_t shortest_edge = 224;
  ImageSize exact_size;
  bool do_center_crop = true;
  ImageSize crop_size{224, 224};
  bool do_rescale = true;
  double rescale_factor = 1.0 / 255;
  bool do_normalize = true;
  std::array<double, 3> mean = kClipMean;
  std::array<double, 3> std = kClipStd;
  /// LlavaImageProcessor's switch: pad to a square with the mean colour first. The layout is to be
  /// planned with AspectMode::kPad then.
  bool do_pad_to_square = false;
  /// Candidate canvases in file order, turned to (width, height); empty when the file has none.
  std::vector<ImageSize> pinpoints;

  /// Side of the square views that the tower sees: the crop, else the size of the resize.
  ///
  /// Throws: Error(kUnsupported) when the result is no square.
  int32_t tile_size() const;

  /// Colour of the padding: int(mean * 255) per channel, (122, 116, 104) for CLIP.
  Rgb pad_color() const;
};

/// Reads a preprocessor_config.json, or the `image_processor` object of a processor_config.json.
/// Absent and null keys take the defaults of the image processor that the file names.
///
/// Throws: Error(kBadFormat) naming `source` and the key for a wrong type or range,
/// Error(kUnsupported) for an image processor or a filter other than the published ones.
/// Threads: safe.
ImageProcessorConfig parse_image_processor_config(const nlohmann::json& value,
                                                  std::string_view source);

/// Reads the processor file of a folder (preprocessor_config.json, else processor_config.json with
/// an `image_processor` object), or the named file itself.
///
/// Throws: Error(kNotFound) when there is neither, and as parse_image_processor_config.
ImageProcessorConfig load_image_processor_config(const std::filesystem::path& folder_or_file);

}  // namespace llava::image
