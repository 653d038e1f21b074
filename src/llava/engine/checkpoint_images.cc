// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/checkpoint_images.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/model/presets.h"

namespace llava::engine {
namespace {

using checkpoint::Layout;
using image::AspectMode;

void apply_rules(image::ImageGeometry& geometry, const image::ImageProcessorConfig& processor,
                 const ImageRules& rules) {
  const image::AnyresRules own_rules = geometry.rules;
  if (geometry.pinpoints.empty() && rules.image_aspect_ratio == "anyres") {
    geometry.pinpoints = processor.pinpoints;
  }
  if (rules.preprocess == "hf") geometry.rules = image::AnyresRules::kHuggingFace;
  if (rules.preprocess == "original") {
    geometry.rules = image::AnyresRules::kOriginal;
    if (geometry.mode == AspectMode::kSquare) geometry.mode = AspectMode::kPad;
  }
  // One reads the file's pairs as heights and widths, the other as widths and heights.
  if (geometry.rules != own_rules) {
    for (auto& size : geometry.pinpoints) std::swap(size.width, size.height);
  }
  set_aspect_ratio(geometry, rules.image_aspect_ratio);
}

// The tower takes views of one size: what the file makes must be that.
void check_size(const image::ImageProcessorConfig& processor, const CheckpointPlace& place,
                const std::filesystem::path& folder) {
  if (!processor.do_resize && !processor.do_center_crop) return;  // the pictures' own size
  const int32_t wanted = place.description.config.vision.image_size;
  int32_t made = 0;
  try {
    made = processor.tile_size();
  } catch (const Error& error) {
    fail(error.code(), "'{}': {}", folder.string(), error.what());
  }
  if (made == wanted) return;
  fail(ErrorCode::kBadFormat,
       "'{}': preprocessor_config.json makes pictures of {}x{} pixels, expected {}x{}, the size of "
       "the vision tower: get the file that belongs to the tower",
       folder.string(), made, made, wanted, wanted);
}

// The published preprocessor of both CLIP towers, for checkpoints that hold the tower's weights.
image::ImageProcessorConfig clip_processor(int32_t image_size) {
  image::ImageProcessorConfig processor;
  processor.shortest_edge = image_size;
  processor.crop_size = {image_size, image_size};
  return processor;
}

}  // namespace

void set_aspect_ratio(image::ImageGeometry& geometry, const std::string& aspect_ratio) {
  if (aspect_ratio == "pad") geometry.mode = AspectMode::kPad;
  if (aspect_ratio == "square") geometry.mode = AspectMode::kSquare;
  if (aspect_ratio != "anyres") return;
  geometry.mode = AspectMode::kAnyres;
  if (geometry.pinpoints.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "image aspect ratio anyres needs image_grid_pinpoints, which this checkpoint does not "
         "have: choose pad or square");
  }
}

CheckpointImages read_checkpoint_images(CheckpointPlace& place,
                                        const std::filesystem::path& tower_folder,
                                        const ImageRules& rules) {
  CheckpointImages images;
  checkpoint::CheckpointDescription& description = place.description;
  if (description.layout == Layout::kHuggingFace) {
    images.processor = image::load_image_processor_config(place.path);
    check_size(images.processor, place, place.path);
  } else if (tower_folder.empty()) {
    const auto vision = model::published_vision_tower(description.vision_tower);
    images.processor = clip_processor(vision->image_size);
    checkpoint::attach_vision(description, *vision);
  } else {
    images.processor = image::load_image_processor_config(tower_folder);
    checkpoint::attach_vision(description, checkpoint::read_tower_config(tower_folder));
    check_size(images.processor, place, tower_folder);
  }
  images.geometry = description.config.geometry;
  images.geometry.has_center_crop = images.processor.do_center_crop;
  apply_rules(images.geometry, images.processor, rules);
  return images;
}

CheckpointImages open_checkpoint_images(const ImageRequest& request) {
  const ImageRules rules{.preprocess = request.preprocess,
                         .image_aspect_ratio = request.image_aspect_ratio};
  if (request.tower_config.empty()) {
    CheckpointPlace place = locate_checkpoint(request.model_path, request.model_base, "");
    if (!place.description.config.has_vision) {
      fail(ErrorCode::kInvalidArgument, "'{}' is a language model without a vision tower",
           place.path.string());
    }
    const bool has_own_tower = place.description.layout != Layout::kHuggingFace;
    return read_checkpoint_images(
        place, has_own_tower ? locate_vision_tower(place, request.vision_tower) : "", rules);
  }
  CheckpointImages images;
  images.processor = image::load_image_processor_config(request.tower_config);
  image::ImageGeometry& geometry = images.geometry;
  geometry.tile_size = images.processor.tile_size();
  geometry.has_center_crop = images.processor.do_center_crop;
  geometry.patches_per_side = geometry.tile_size / request.patch_size;
  geometry.pinpoints = images.processor.pinpoints;
  // A processor with pinpoints is one of Hugging Face's, which has one way to use them.
  const bool is_anyres = !geometry.pinpoints.empty();
  geometry.mode = is_anyres                           ? AspectMode::kAnyres
                  : images.processor.do_pad_to_square ? AspectMode::kPad
                                                      : AspectMode::kSquare;
  if (is_anyres) geometry.rules = image::AnyresRules::kHuggingFace;
  geometry.merge = {.is_spatial = is_anyres, .has_unpad = is_anyres};
  if (images.processor.kind == image::ProcessorKind::kLlavaOnevision) {
    geometry.merge.max_views = 9;  // anyres_max_9, the only published value
  }
  apply_rules(geometry, images.processor, rules);
  return images;
}

}  // namespace llava::engine
