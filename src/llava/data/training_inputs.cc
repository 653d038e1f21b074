// SPDX-License-Identifier: Apache-2.0
#include "llava/data/training_inputs.h"

#include "llava/core/error.h"
#include "llava/data/training_template.h"
#include "llava/text/load_tokenizer.h"

namespace llava::data {

TrainingTokenizer open_training_tokenizer(const TokenizerRequest& request) {
  text::TokenizerForm form = text::TokenizerForm::kAutomatic;
  if (std::filesystem::exists(request.folder / "tokenizer.model")) {
    form = request.is_mistral ? text::TokenizerForm::kFast : text::TokenizerForm::kSlow;
  }
  return with_training_tokens(text::load_tokenizer(request.folder, form), request);
}

TrainingTokenizer with_training_tokens(std::unique_ptr<text::Tokenizer> base,
                                       const TokenizerRequest& request) {
  TrainingTokenizer result;
  result.tokenizer = std::move(base);
  text::Tokenizer& tokenizer = *result.tokenizer;
  const auto add = [&](std::string_view token) {
    const int32_t size = tokenizer.size();
    tokenizer.add_special_token(token);
    return tokenizer.size() - size;
  };
  if (needs_pad_token(request.version, tokenizer)) result.num_pad = add(kAddedPadToken);
  if (!request.is_multimodal) return result;
  if (request.mm_use_im_patch_token) result.num_patch = add("<im_patch>");
  if (request.mm_use_im_start_end) {
    result.num_start_end = add("<im_start>");
    result.num_start_end += add("<im_end>");
  }
  return result;
}

SampleRules open_sample_rules(const DialogueRequest& request, const text::Tokenizer* tokenizer) {
  SampleRules rules;
  rules.dialogue.conversation = &training_template(request.version, request.compat);
  rules.dialogue.is_multimodal = request.is_multimodal;
  rules.dialogue.mm_use_im_start_end = request.mm_use_im_start_end;
  rules.compat = request.compat;
  rules.model_max_length = request.model_max_length;
  if (tokenizer != nullptr) rules.pad_id = training_pad_id(request.version, *tokenizer);
  return rules;
}

PictureRules open_picture_rules(const std::filesystem::path& tower_folder,
                                image::ImageGeometry geometry, const std::string& aspect_ratio,
                                const std::filesystem::path& image_folder, Compat compat) {
  PictureRules rules;
  rules.folder = image_folder;
  rules.processor = image::load_image_processor_config(tower_folder);
  rules.geometry = std::move(geometry);
  rules.geometry.has_center_crop = rules.processor.do_center_crop;
  set_training_aspect(rules.geometry, aspect_ratio, compat);
  const int32_t made = rules.processor.tile_size();
  if (made != rules.geometry.tile_size) {
    fail(ErrorCode::kBadFormat,
         "'{}': preprocessor_config.json makes pictures of {}x{} pixels, expected {}x{}, the size "
         "of the vision tower: get the file that belongs to the tower",
         tower_folder.string(), made, made, rules.geometry.tile_size, rules.geometry.tile_size);
  }
  return rules;
}

}  // namespace llava::data
