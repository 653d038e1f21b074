// SPDX-License-Identifier: Apache-2.0
//
// From prompt text and pictures to what the model takes: ids, placeholders, tiles.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llava/engine/prepared_image.h"
#include "llava/engine/pretrained.h"
#include "llava/image/rgb_image.h"
#include "llava/text/multimodal_sequence.h"

namespace llava::engine {

/// A prompt ready for the engine.
struct PreparedPrompt {
  std::vector<int32_t> ids_with_sentinels;
  text::MultimodalSequence sequence;
  std::vector<image::ImageLayout> layouts;
  std::vector<model::FeatureRun> runs;
  std::vector<PreparedImage> images;

  int32_t num_tokens() const { return static_cast<int32_t>(sequence.ids.size()); }
  int32_t num_image_tokens() const;
};

/// What may be asked of one picture in the place of the checkpoint's own rules.
struct ImageChoices {
  std::string aspect_ratio;  ///< pad, square or anyres; empty: the checkpoint's
  /// Of a picture in several views only the first, which shows all of it.
  bool is_base_view_only = false;
};

/// Plans and preprocesses one picture by the checkpoint's rules, a large one on `num_threads`.
///
/// Throws: Error(kInvalidArgument) if the checkpoint has no vision tower, or cannot do what the
/// choices say.
PreparedImage prepare_image(const Pretrained& pretrained, const image::RgbImage& picture,
                            int num_threads = 1, const ImageChoices& choices = {});

/// Tokenizes a prompt that has one `<image>` for each picture, by the rule of the checkpoint's
/// layout; ids hold text::kImageSentinel for each. With `has_single_begin` a prompt that is written
/// with its begin token does not get a second one.
std::vector<int32_t> tokenize_prompt(const Pretrained& pretrained, const std::string& prompt,
                                     bool has_single_begin = true);

/// The same for a prompt with guards (text/token_guard.h).
std::vector<int32_t> tokenize_guarded_prompt(const Pretrained& pretrained,
                                             const std::string& prompt);

/// Joins tokenized prompt and pictures.
///
/// Throws: Error(kInvalidArgument) when `<image>` and pictures differ in number (both named), or an
/// id is beyond the model's vocabulary.
PreparedPrompt prepare_prompt(const Pretrained& pretrained, std::vector<int32_t> ids,
                              const std::vector<PreparedImage>& images);

/// All tiles of all pictures, in order: [I, C, S, S]; undefined when there is no picture.
Tensor join_tiles(const std::vector<PreparedImage>& images);

/// Cuts a list such as "a.jpg,b.jpg" at `separator`; empty parts are dropped.
std::vector<std::string> split_list(const std::string& list, const std::string& separator);

}  // namespace llava::engine
