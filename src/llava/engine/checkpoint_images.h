// SPDX-License-Identifier: Apache-2.0
//
// How a checkpoint looks at pictures: its image processor and geometry, without its weights.
#pragma once

#include <string>

#include "llava/core/config.h"
#include "llava/engine/checkpoint_place.h"
#include "llava/image/processor_config.h"

namespace llava::engine {

/// Rules that turn pictures into views and tokens.
struct CheckpointImages {
  image::ImageProcessorConfig processor;
  image::ImageGeometry geometry;
};

/// Choices of the user that bear on pictures.
struct ImageRules {
  std::string preprocess = "auto";  ///< hf, original
  std::string image_aspect_ratio;   ///< pad, square, anyres; empty: the checkpoint's
};

/// Changes how pictures become views; an empty text changes nothing.
///
/// Throws: Error(kInvalidArgument) for "anyres" where the geometry has no pinpoints.
void set_aspect_ratio(image::ImageGeometry& geometry, const std::string& aspect_ratio);

/// Reads the processor that belongs to a checkpoint and settles its geometry. In the original
/// layout the tower's folder (see locate_vision_tower) holds the processor; `place.description`
/// gets the tower's shape.
///
/// Throws: Error(kInvalidArgument) for an aspect mode the checkpoint cannot use; Error(kBadFormat)
/// for a processor of another size than the tower; what reading the files throws.
CheckpointImages read_checkpoint_images(CheckpointPlace& place,
                                        const std::filesystem::path& tower_folder,
                                        const ImageRules& rules);

/// What `llava image` asks for: a checkpoint, or a bare processor file.
struct ImageRequest {
  std::string model_path;
  std::string model_base;
  std::string vision_tower;
  std::string tower_config;
  int32_t patch_size = 14;
  std::string preprocess = "auto";
  std::string image_aspect_ratio;

  template <class V>
  void describe(V& v) {
    v.field("model-path", model_path,
            "checkpoint whose rules apply; without it the bundled model's");
    v.field("model-base", model_base, "base of a LoRA or projector-only checkpoint");
    v.field("vision-tower", vision_tower, "folder of the vision tower");
    v.field("tower-config", tower_config,
            "a bare preprocessor_config.json instead of a checkpoint");
    v.field("patch-size", patch_size, "patch size that goes with --tower-config",
            in_range(1, 4096));
    v.field("preprocess", preprocess, "picture rules: auto follows the checkpoint's layout",
            one_of({"auto", "hf", "original"}));
    v.field("image-aspect-ratio", image_aspect_ratio, "pad, square or anyres",
            one_of({"", "pad", "square", "anyres"}));
  }
};

/// Opens the picture rules of a request.
CheckpointImages open_checkpoint_images(const ImageRequest& request);

}  // namespace llava::engine
