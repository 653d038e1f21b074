// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/prompt_images.h"

#include <algorithm>
#include <cstring>

#include "llava/core/error.h"
#include "llava/engine/checkpoint_images.h"
#include "llava/engine/checkpoint_text.h"
#include "llava/image/picture_recipe.h"
#include "llava/image/preprocess.h"
#include "llava/image/resize.h"
#include "llava/text/conversation.h"
#include "llava/text/prompt.h"

namespace llava::engine {
namespace {

void check_ids(const Pretrained& pretrained, std::span<const int32_t> ids) {
  const int32_t vocab_size = pretrained.model->config.decoder.vocab_size;
  for (const int32_t id : ids) {
    if (id < vocab_size) continue;
    fail(
        ErrorCode::kInvalidArgument,
        "token '{}' has id {}, but the model's table has {} rows: the tokenizer's added tokens are "
        "not part of this checkpoint, leave them out of the prompt",
        pretrained.tokenizer->token_text(id), id, vocab_size);
  }
}

std::vector<int32_t> tokenize(const Pretrained& pretrained, const std::string& prompt,
                              const text::PromptOptions& options) {
  const auto image_token_id =
      pretrained.is_hugging_face() ? pretrained.description.image_token_id : std::nullopt;
  return tokenize_prompt(*pretrained.tokenizer, image_token_id, prompt, options);
}

PreparedImage prepare(const Pretrained& pretrained, const image::RgbImage& picture,
                      const image::ImageGeometry& geometry, int num_threads) {
  PreparedImage prepared;
  prepared.layout = image::plan_layout(picture.size, geometry);
  image::PixelValues pixels =
      image::preprocess(picture, pretrained.processor, prepared.layout, num_threads);
  const Shape shape{pixels.num_tiles, 3, pixels.height, pixels.width};
  const auto values = std::make_shared<const std::vector<float>>(std::move(pixels.values));
  prepared.pixels_ICHW =
      Tensor::view_of(values, std::as_bytes(std::span(*values)), shape, DType::kFloat32);
  prepared.key = image_key({.size = picture.size,
                            .pixels = picture.pixels,
                            .recipe = image::preprocessing_recipe(pretrained.processor, geometry)});
  return prepared;
}

}  // namespace

Tensor join_tiles(const std::vector<PreparedImage>& images) {
  if (images.empty()) return {};
  if (images.size() == 1) return images.front().pixels_ICHW;
  Shape shape = images.front().pixels_ICHW.shape();
  shape[0] = 0;
  for (const PreparedImage& image : images) shape[0] += image.pixels_ICHW.dim(0);
  Tensor all = Tensor::empty(shape, DType::kFloat32);
  std::byte* out = all.mutable_bytes().data();
  for (const PreparedImage& image : images) {
    const auto bytes = image.pixels_ICHW.bytes();
    std::memcpy(out, bytes.data(), bytes.size());
    out += bytes.size();
  }
  return all;
}

int32_t PreparedPrompt::num_image_tokens() const {
  int32_t count = 0;
  for (const text::ImageSpan& span : sequence.images) count += span.num_tokens;
  return count;
}

PreparedImage prepare_image(const Pretrained& pretrained, const image::RgbImage& picture,
                            int num_threads, const ImageChoices& choices) {
  if (!pretrained.has_vision()) {
    fail(ErrorCode::kInvalidArgument,
         "model '{}' is a language model without a vision tower: it cannot look at pictures",
         pretrained.name);
  }
  image::ImageGeometry geometry = pretrained.geometry;
  set_aspect_ratio(geometry, choices.aspect_ratio);
  if (choices.is_base_view_only && geometry.mode == image::AspectMode::kAnyres) {
    geometry.mode = image::AspectMode::kSquare;
    const image::ImageSize view{geometry.tile_size, geometry.tile_size};
    return prepare(pretrained, image::resize(picture, view, num_threads), geometry, num_threads);
  }
  return prepare(pretrained, picture, geometry, num_threads);
}

std::vector<int32_t> tokenize_prompt(const Pretrained& pretrained, const std::string& prompt,
                                     bool has_single_begin) {
  return tokenize(pretrained, prompt, {.has_single_begin = has_single_begin});
}

std::vector<int32_t> tokenize_guarded_prompt(const Pretrained& pretrained,
                                             const std::string& prompt) {
  return tokenize(pretrained, prompt, {.has_single_begin = true, .has_guards = true});
}

PreparedPrompt prepare_prompt(const Pretrained& pretrained, std::vector<int32_t> ids,
                              const std::vector<PreparedImage>& images) {
  check_ids(pretrained, ids);
  PreparedPrompt prompt;
  std::vector<int32_t> image_tokens;
  for (const PreparedImage& image : images) {
    prompt.layouts.push_back(image.layout);
    image_tokens.push_back(image.layout.num_tokens);
  }
  prompt.sequence = text::expand_images(ids, image_tokens);
  for (const text::ImageSpan& span : prompt.sequence.images) {
    prompt.runs.push_back({.offset = span.offset, .num_rows = span.num_tokens});
  }
  prompt.ids_with_sentinels = std::move(ids);
  prompt.images = images;
  return prompt;
}

std::vector<std::string> split_list(const std::string& list, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (!separator.empty()) {
    const std::size_t end = list.find(separator, begin);
    if (end == std::string::npos) break;
    parts.push_back(list.substr(begin, end - begin));
    begin = end + separator.size();
  }
  parts.push_back(list.substr(begin));
  std::erase(parts, "");
  return parts;
}

}  // namespace llava::engine
