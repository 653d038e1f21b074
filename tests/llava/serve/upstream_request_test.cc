// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/sglang/upstream_request.h"

#include <gtest/gtest.h>

#include "llava/core/base64.h"
#include "llava/core/json.h"
#include "llava/image/decode.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

std::string picture(int32_t width, int32_t height) {
  return encode_base64(image::encode_png(image::RgbImage({width, height})));
}

TEST(UpstreamRequest, PlaceholdersAreThoseOfTheModel) {
  EXPECT_EQ(sglang_prompt("USER: <image>\nQ ASSISTANT:", "llava-v1.5-7b"),
            "USER: <image>\nQ ASSISTANT:");
  EXPECT_EQ(sglang_prompt("USER:<image>Q", "LLaVA-v1.6-Vicuna-7b"), "USER: <image>\nQ");
  EXPECT_EQ(sglang_prompt("user\n<image>\nQ", "llava-v1.6-34b"), "user\n<image>\n\nQ");
  // The original sends "[INST]<image>Q".
  EXPECT_EQ(sglang_prompt("[INST] <image>\nQ", "llava-v1.6-mistral-7b"), "[INST] <image>\nQ");
  EXPECT_EQ(sglang_prompt("no picture", "vicuna"), "no picture");
}

TEST(UpstreamRequest, TheBodyIsThatOfTheOriginal) {
  const WorkerRequest request = read_worker_request(
      R"({"prompt": "USER: <image>\nQ", "images": ["x"], "temperature": "0.2", "top_p": 0.7,
          "max_new_tokens": 512})");
  // Source: serving.md 3.8; the original has no stop strings.
  EXPECT_EQ(
      generate_body(request, {"AAAA"}, "llava-v1.5-7b", 1024),
      R"({"text":"USER: <image>\nQ","image_data":"AAAA","stream":true,"sampling_params":)"
      R"({"skip_special_tokens":true,"max_new_tokens":512,"stop":[],"temperature":0.2,"top_p":0.7,)"
      R"("top_k":-1,"frequency_penalty":0.0,"presence_penalty":0.0,"ignore_eos":false}})");
}

TEST(UpstreamRequest, StopStringsBoundsAndSeveralPictures) {
  const WorkerRequest request =
      read_worker_request(R"({"prompt": "Q", "max_new_tokens": 5000, "stop": ["a", ""]})");
  const Json plain = parse_json(generate_body(request, {}, "m", 1024), "");
  EXPECT_FALSE(plain.contains("image_data"));
  EXPECT_EQ(plain["sampling_params"]["max_new_tokens"], 1024);
  EXPECT_EQ(plain["sampling_params"]["stop"], Json({"a"}));
  EXPECT_EQ(plain["sampling_params"]["temperature"], 1.0);
  const Json two = parse_json(generate_body(request, {"A", "B"}, "m", 1024), "");
  EXPECT_EQ(two["image_data"], Json({"A", "B"}));
}

TEST(UpstreamRequest, PicturesBecomePng) {
  WorkerRequest request{
      .prompt = "<image> and <image>", .images = {picture(3, 2), picture(5, 7)}, .stop = {}};
  const auto images = png_images_of(request);
  ASSERT_EQ(images.size(), 2u);
  const std::string second = decode_base64(images[1]).value();
  const auto size = image::probe_size(std::as_bytes(std::span(second)), "picture");
  EXPECT_EQ(size.width, 5);
  EXPECT_EQ(size.height, 7);
  request.images.pop_back();
  EXPECT_THROW(png_images_of(request), ApiError);
  request.images.emplace_back("AAAA");
  EXPECT_THROW(png_images_of(request), ApiError);
}

}  // namespace
}  // namespace llava::serve
