// SPDX-License-Identifier: Apache-2.0
#include "training_data.h"

#include <optional>

#include "fetch_model.h"
#include "llava/checkpoint/config_json.h"
#include "llava/checkpoint/vision_tower_folder.h"
#include "llava/data/training_inputs.h"
#include "llava/engine/checkpoint_images.h"
#include "llava/engine/checkpoint_text.h"
#include "llava/image/processor_config.h"
#include "llava/model/presets.h"

namespace llava::app {
namespace {

engine::CheckpointImages images_of_tower(const std::string& tower) {
  engine::CheckpointImages images;
  std::optional<model::VisionConfig> vision = model::published_vision_tower(tower);
  if (vision) {
    images.processor.shortest_edge = vision->image_size;
    images.processor.crop_size = {vision->image_size, vision->image_size};
  } else {
    const auto folder = checkpoint::resolve_vision_tower(
        {.name = tower, .checkpoint_folder = {}, .explicit_folder = tower, .models_root = {}});
    vision = checkpoint::read_tower_config(folder);
    images.processor = image::load_image_processor_config(folder);
  }
  images.geometry.tile_size = vision->image_size;
  images.geometry.patches_per_side = vision->patches_per_side();
  images.geometry.has_center_crop = images.processor.do_center_crop;
  images.geometry.pinpoints = images.processor.pinpoints;
  return images;
}

// Without a tower a picture is one token.
engine::CheckpointImages images_of_nothing() {
  engine::CheckpointImages images;
  images.geometry.patches_per_side = 1;
  return images;
}

}  // namespace

TrainingData open_training_data(const TrainingDataOptions& options) {
  TrainingData result;
  data::SampleRules& rules = result.rules;
  const data::DialogueRequest dialogue{
      .version = options.version,
      .mm_use_im_start_end = options.mm_use_im_start_end,
      .model_max_length = options.model_max_length,
      .compat = options.compat == "reference" ? data::Compat::kReference : data::Compat::kIntended};
  rules = data::open_sample_rules(dialogue, nullptr);
  rules.pictures.folder = options.image_folder;

  engine::CheckpointImages images =
      options.vision_tower.empty() ? images_of_nothing() : images_of_tower(options.vision_tower);
  if (!options.model_name_or_path.empty()) {
    fetch_model({.model_path = options.model_name_or_path,
                 .needs_tower = options.vision_tower.empty(),
                 .needs_weights = false});
    engine::CheckpointPlace place = engine::locate_checkpoint(options.model_name_or_path, "", "");
    result.tokenizer =
        data::with_training_tokens(
            engine::read_checkpoint_text(place).tokenizer,
            {.version = options.version, .mm_use_im_start_end = options.mm_use_im_start_end})
            .tokenizer;
    rules.pad_id = data::open_sample_rules(dialogue, result.tokenizer.get()).pad_id;
    if (options.vision_tower.empty() && place.description.config.has_vision) {
      const bool has_own_tower = place.description.layout != checkpoint::Layout::kHuggingFace;
      images = engine::read_checkpoint_images(
          place, has_own_tower ? engine::locate_vision_tower(place, "") : "", {});
    }
  }
  if (!options.image_grid_pinpoints.empty()) {
    images.geometry.pinpoints =
        data::parse_pinpoints(options.image_grid_pinpoints, images.geometry.tile_size);
  }
  if (!options.image_aspect_ratio.empty()) {
    data::set_training_aspect(images.geometry, options.image_aspect_ratio, rules.compat);
  }
  rules.pictures.processor = images.processor;
  rules.pictures.geometry = images.geometry;
  return result;
}

}  // namespace llava::app
