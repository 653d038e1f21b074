// SPDX-License-Identifier: Apache-2.0
//
// What turns a training file into samples, opened from the folders of a run's base: the tokenizer
// and the picture rules.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "llava/data/compat.h"
#include "llava/data/picture_reader.h"
#include "llava/data/sample_maker.h"
#include "llava/text/gguf_vocabulary.h"
#include "llava/text/tokenizer.h"

namespace llava::data {

/// How the tokenizer of a run is opened.
struct TokenizerRequest {
  std::filesystem::path folder;  ///< or a GGUF file
  bool is_mistral = false;       ///< the original opens Mistral's as fast tokenizers
  std::string version = "v1";
  bool is_multimodal = true;
  bool mm_use_im_patch_token = false;
  bool mm_use_im_start_end = false;
};

/// A tokenizer with the tokens that training adds, and how many it did not have before: their rows
/// of the tables are new, in this order.
struct TrainingTokenizer {
  std::unique_ptr<text::Tokenizer> tokenizer;
  int32_t num_pad = 0;        ///< "[PAD]"
  int32_t num_patch = 0;      ///< "<im_patch>"
  int32_t num_start_end = 0;  ///< "<im_start>", "<im_end>"

  int32_t num_new() const { return num_pad + num_patch + num_start_end; }
};

/// Adds to a tokenizer "[PAD]" by `--version v0` where there is no padding token,
/// "<im_patch>", "<im_start>" and "<im_end>" as the flags say.
TrainingTokenizer with_training_tokens(std::unique_ptr<text::Tokenizer> base,
                                       const TokenizerRequest& request);

/// The same for the tokenizer of request.folder.
///
/// Throws: as text::load_tokenizer.
TrainingTokenizer open_training_tokenizer(const TokenizerRequest& request);

/// The same for a vocabulary out of a GGUF file, a struct as text::to_vocabulary takes it.
///
/// Throws: as text::make_gguf_tokenizer.
template <class Found>
TrainingTokenizer open_gguf_training_tokenizer(Found found, const TokenizerRequest& request) {
  return with_training_tokens(
      text::make_gguf_tokenizer(text::to_vocabulary(std::move(found), request.folder.string())),
      request);
}

/// The picture rules of a tower: its folder's processor, `geometry` of the run's configuration with
/// the aspect mode of training.
///
/// Throws: as image::load_image_processor_config and set_training_aspect; Error(kBadFormat) when
/// the processor makes pictures of another size than the tower's (geometry.tile_size).
PictureRules open_picture_rules(const std::filesystem::path& tower_folder,
                                image::ImageGeometry geometry, const std::string& aspect_ratio,
                                const std::filesystem::path& image_folder, Compat compat);

/// Reads `--version`, `--model_max_length` and the like: what a SampleMaker needs besides pictures.
struct DialogueRequest {
  std::string version = "v1";
  bool is_multimodal = true;
  bool mm_use_im_start_end = false;
  int64_t model_max_length = 512;
  Compat compat = Compat::kIntended;
};

/// Rules for samples without pictures; those of pictures are added by the caller. Without a
/// tokenizer the padding is left as it is.
///
/// Throws: Error(kInvalidArgument) for an unknown version.
SampleRules open_sample_rules(const DialogueRequest& request, const text::Tokenizer* tokenizer);

}  // namespace llava::data
