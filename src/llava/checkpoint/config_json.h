// SPDX-License-Identifier: Apache-2.0
//
// What a checkpoint folder says about itself: its layout, and its config.json as the structs of
// model/config.h plus what the engine and the loader need besides.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/model/config.h"

namespace llava::checkpoint {

/// How the files of a checkpoint folder are arranged, told from their content.
enum class Layout : uint8_t {
  kOriginal,       ///< the original release: mm_* keys in one flat config
  kHuggingFace,    ///< LlavaForConditionalGeneration, LlavaNextForConditionalGeneration
  kLora,           ///< adapter_config.json; needs a base model
  kProjectorOnly,  ///< mm_projector.bin without weights; needs a base model
  kLanguageModel,  ///< a plain language model, such as the base of the two above
};

/// "original", "hugging_face", "lora", "projector_only", "language_model".
std::string_view layout_name(Layout layout) noexcept;

/// A checkpoint folder's config.json, read.
///
/// In the original layout (and the two that need a base) the shape of the vision tower stands in
/// the tower's own folder: `config.vision` and the picture sizes of `config.geometry` are filled in
/// by attach_vision() once it is found.
struct CheckpointDescription {
  std::filesystem::path folder;
  Layout layout = Layout::kOriginal;
  std::string architecture;  ///< first of `architectures`, as found; may be empty
  std::string model_type;    ///< as found; may be empty
  model::LlavaConfig config;
  /// False until config.vision is known.
  bool is_vision_known = false;

  std::string vision_tower;  ///< mm_vision_tower as found; empty in the Hugging Face layout
  /// The tower's weights come from this checkpoint even if its own folder is at hand.
  bool has_tower_weights = false;
  std::optional<int32_t> mm_hidden_size;  ///< projector's input width, as found
  /// image_grid_pinpoints given as a range of tiles, "(1x1),...,(6x6)": in tiles, not pixels.
  std::vector<image::ImageSize> pinpoint_grids;

  bool use_im_start_end = false;
  bool use_im_patch_token = true;
  bool tune_mm_mlp_adapter = false;
  std::optional<int32_t> image_token_id;  ///< Hugging Face layout

  std::optional<int32_t> bos_token_id;
  std::vector<int32_t> eos_token_ids;
  std::optional<int32_t> pad_token_id;

  std::optional<DType> dtype;  ///< torch_dtype
  std::optional<int32_t> tokenizer_model_max_length;
  std::optional<int32_t> max_sequence_length;
  std::string padding_side = "right";
  std::string conv_mode;  ///< template the checkpoint was trained with, if it says so
  /// "slow" or "fast" where a checkpoint of 'llava quantize' says how its tokenizer is opened.
  std::string tokenizer_form;
};

/// The layout of a folder by its files and its config.json.
///
/// Throws: Error(kNotFound) when `folder` is no folder or has no config.json; Error(kBadFormat);
/// Error(kUnsupported) for a known architecture that is not built here.
Layout detect_layout(const std::filesystem::path& folder);

/// Reads a checkpoint folder's configuration.
///
/// Throws: Error(kNotFound) for missing files; Error(kBadFormat) naming file and key for values of
/// the wrong type or size; Error(kUnsupported) naming what was found and what is supported.
CheckpointDescription read_config(const std::filesystem::path& folder);

/// The same from parsed JSON, for tests and fuzzing; `source` names it in messages.
CheckpointDescription read_config(const nlohmann::json& json, std::string_view source,
                                  Layout layout);

/// The shape of a CLIP tower from its repository's config.json: a full CLIP's `vision_config` or
/// the keys of a pure vision model; absent keys take CLIP's defaults.
///
/// Throws: Error(kNotFound), Error(kBadFormat), Error(kUnsupported) for another kind of tower.
model::VisionConfig read_tower_config(const std::filesystem::path& folder);

/// Fills in what depends on the tower: config.vision, the picture sizes of config.geometry, the
/// pinpoints given in tiles. Checks the projector's input width against the tower and validates the
/// whole configuration.
///
/// Throws: Error(kBadFormat) when mm_hidden_size disagrees, a pinpoint is no multiple of the
/// tower's size, or model::validate refuses the whole; Error(kUnsupported) for a class token in a
/// spatial merge.
void attach_vision(CheckpointDescription& description, const model::VisionConfig& vision);

}  // namespace llava::checkpoint
