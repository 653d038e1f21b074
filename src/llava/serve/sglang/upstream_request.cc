// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/sglang/upstream_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "llava/core/base64.h"
#include "llava/core/json.h"
#include "llava/image/decode.h"
#include "llava/serve/legacy/wire_json.h"
#include "llava/serve/media/image_input.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/text/conversation.h"

namespace llava::serve {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

/// Where the client library has a placeholder other than `<image>` for a model.
std::optional<std::string_view> placeholder_of(std::string_view model_name) {
  const std::string name = lower(model_name);
  const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  if (has("llava-v1.6-34b")) return "<image>\n";
  if (has("vicuna") || has("llava-v1.5")) return " <image>\n";
  return std::nullopt;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (;;) {
    const std::size_t at = text.find(from);
    result += text.substr(0, at);
    if (at == std::string_view::npos) return result;
    result += to;
    text.remove_prefix(at + from.size());
  }
}

}  // namespace

std::string sglang_prompt(std::string_view prompt, std::string_view model_name) {
  const auto placeholder = placeholder_of(model_name);
  if (!placeholder) return std::string(prompt);
  const std::string bare =
      replace_all(prompt, fmt::format(" {}\n", text::kImageToken), text::kImageToken);
  return replace_all(bare, text::kImageToken, *placeholder);
}

std::vector<std::string> png_images_of(const WorkerRequest& request) {
  const int64_t num_places = count_image_places(request.prompt);
  if (std::cmp_not_equal(num_places, request.images.size())) {
    throw ApiError(400, "invalid_image",
                   fmt::format("{} pictures for {} `<image>` in the prompt", request.images.size(),
                               num_places));
  }
  std::vector<std::string> images;
  for (const std::string& image : request.images) {
    const auto bytes = decode_base64_leniently(image);
    if (!bytes) throw ApiError(400, "invalid_image", "a picture is no base64");
    const image::RgbImage picture = decode_image(
        *bytes, {.location = {}, .param = fmt::format("images[{}]", images.size())}, ImageLimits{});
    images.push_back(encode_base64(image::encode_png(picture)));
  }
  return images;
}

std::string generate_body(const WorkerRequest& request, std::vector<std::string> images,
                          std::string_view model_name, int32_t max_new_tokens) {
  OrderedJson body = {{"text", sglang_prompt(request.prompt, model_name)}};
  // The servers of the original's time know one picture only, as a text.
  if (images.size() == 1) {
    body["image_data"] = std::move(images.front());
  } else if (!images.empty()) {
    body["image_data"] = std::move(images);
  }
  body["stream"] = true;
  body["sampling_params"] = {{"skip_special_tokens", true},
                             {"max_new_tokens", std::min(request.max_new_tokens, max_new_tokens)},
                             {"stop", request.stop},
                             {"temperature", request.temperature},
                             {"top_p", request.top_p},
                             {"top_k", -1},
                             {"frequency_penalty", 0.0},
                             {"presence_penalty", 0.0},
                             {"ignore_eos", false}};
  return compact_json(body);
}

}  // namespace llava::serve
