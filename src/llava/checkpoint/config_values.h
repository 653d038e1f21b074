// SPDX-License-Identifier: Apache-2.0
//
// Parts of config.json that several layouts share: the language model, the vision tower, grid
// pinpoints, and integers with a range.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/json.h"
#include "llava/model/config.h"

namespace llava::checkpoint {

/// An integer of `object` within [low, high].
///
/// Throws: Error(kBadFormat) naming key, value and range.
std::optional<int32_t> get_int32(const JsonObject& object, std::string_view key, int64_t low,
                                 int64_t high);

/// A number that must be one id or a list of ids.
std::vector<int32_t> get_ids(const JsonObject& object, std::string_view key);

/// The language model of `object`, whose absent keys take the defaults of the published
/// configuration class of `family`. Reads both spellings of rope settings.
///
/// Throws: Error(kBadFormat), Error(kUnsupported) for an activation, rope type or layer pattern
/// that is not built here.
model::DecoderConfig read_decoder_config(const JsonObject& object, model::DecoderFamily family);

/// Rope settings of a language model's object: rope_theta and rope_scaling, or rope_parameters.
model::RopeConfig read_rope_config(const JsonObject& object);

/// A CLIP vision configuration; absent keys take the defaults of `defaults`.
///
/// Throws: Error(kBadFormat), Error(kUnsupported) when its model_type is no CLIP.
model::VisionConfig read_clip_config(const JsonObject& object,
                                     const model::VisionConfig& defaults = {});

/// Hidden states a tower's features come from: one integer or a list.
std::vector<int32_t> read_feature_layers(const JsonObject& object, std::string_view key);

/// Whether a value names an activation, and which.
///
/// Throws: Error(kUnsupported) naming key and value.
Activation read_activation(const JsonObject& object, std::string_view key, Activation absent);

/// Candidate canvases. `in_tiles` is true when they are counted in tiles and not in pixels.
struct Pinpoints {
  std::vector<image::ImageSize> sizes;
  bool in_tiles = false;
};

/// image_grid_pinpoints in every spelling of read_grid_pairs(). Pairs are (width, height) unless
/// `is_height_first`.
///
/// Throws: Error(kBadFormat) naming key and what was found, also for an empty list.
Pinpoints read_pinpoints(const JsonObject& object, std::string_view key, bool is_height_first);

}  // namespace llava::checkpoint
