// SPDX-License-Identifier: Apache-2.0
#include "llava/image/processor_config.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "support/paths.h"

namespace llava::image {
namespace {

ImageProcessorConfig parse(std::string_view json) {
  return parse_image_processor_config(parse_json(json, "test"), "preprocessor_config.json");
}

TEST(ProcessorConfig, ReadsThePublishedTowerFile) {
  const ImageProcessorConfig config = parse(R"({
    "crop_size": 336, "do_center_crop": true, "do_normalize": true, "do_resize": true,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 336})");
  EXPECT_EQ(config.kind, ProcessorKind::kClip);
  EXPECT_EQ(config.shortest_edge, 336);
  EXPECT_EQ(config.crop_size, (ImageSize{336, 336}));
  EXPECT_EQ(config.tile_size(), 336);
  EXPECT_EQ(config.pad_color(), (Rgb{122, 116, 104}));
  EXPECT_TRUE(config.do_rescale);
  EXPECT_EQ(config.rescale_factor, 1.0 / 255);
}

TEST(ProcessorConfig, ReadsObjectForms) {
  const ImageProcessorConfig config = parse(R"({"image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 56}, "crop_size": {"height": 42, "width": 42}})");
  EXPECT_EQ(config.shortest_edge, 56);
  EXPECT_EQ(config.tile_size(), 42);
  const ImageProcessorConfig siglip = parse(R"({"image_processor_type": "SiglipImageProcessor",
    "size": {"height": 384, "width": 384}})");
  EXPECT_EQ(siglip.shortest_edge, 0);
  EXPECT_EQ(siglip.exact_size, (ImageSize{384, 384}));
  EXPECT_FALSE(siglip.do_center_crop);
  EXPECT_EQ(siglip.tile_size(), 384);
  EXPECT_EQ(siglip.pad_color(), (Rgb{127, 127, 127}));
}

TEST(ProcessorConfig, ReadsTheNestedObjectOfNewerFolders) {
  const ImageProcessorConfig config = parse(R"({"processor_class": "LlavaNextProcessor",
    "image_processor": {"image_processor_type": "LlavaNextImageProcessorFast",
      "size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}, "do_pad": true,
      "image_grid_pinpoints": [[56, 112], [168, 56]]}, "patch_size": 14})");
  EXPECT_EQ(config.kind, ProcessorKind::kLlavaNext);
  EXPECT_FALSE(config.do_pad_to_square);
  EXPECT_EQ(config.pinpoints, (std::vector<ImageSize>{{112, 56}, {56, 168}}));
}

TEST(ProcessorConfig, PublishedDefaults) {
  EXPECT_EQ(parse("{}").tile_size(), 224);
  EXPECT_EQ(parse(R"({"image_processor_type": "LlavaNextImageProcessor"})").pinpoints.size(), 5u);
  const auto onevision = parse(R"({"image_processor_type": "LlavaOnevisionImageProcessor"})");
  EXPECT_EQ(onevision.pinpoints.size(), 36u);
  EXPECT_EQ(onevision.pinpoints[1], (ImageSize{768, 384}));
  EXPECT_EQ(onevision.tile_size(), 384);
  const auto padded = parse(R"({"image_processor_type": "LlavaImageProcessor", "do_pad": true})");
  EXPECT_TRUE(padded.do_pad_to_square);
  EXPECT_FALSE(parse(R"({"size": null, "do_resize": false})").do_resize);
}

TEST(ProcessorConfig, RefusesWhatItDoesNotKnow) {
  const auto code_of = [](std::string_view json) {
    try {
      parse(json);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("preprocessor_config.json"), std::string::npos)
          << error.what();
      return error.code();
    }
    ADD_FAILURE() << "accepted " << json;
    return ErrorCode::kInternal;
  };
  EXPECT_EQ(code_of(R"({"resample": 2})"), ErrorCode::kUnsupported);
  EXPECT_EQ(code_of(R"({"image_processor_type": "ViTImageProcessor"})"), ErrorCode::kUnsupported);
  EXPECT_EQ(code_of(R"({"size": {"longest_edge": 5}})"), ErrorCode::kUnsupported);
  EXPECT_EQ(code_of(R"({"size": -1})"), ErrorCode::kBadFormat);
  EXPECT_EQ(code_of(R"({"size": 1e9})"), ErrorCode::kBadFormat);
  EXPECT_EQ(code_of(R"({"crop_size": "large"})"), ErrorCode::kBadFormat);
  EXPECT_EQ(code_of(R"({"image_mean": [0.5]})"), ErrorCode::kBadFormat);
  EXPECT_EQ(code_of(R"({"image_std": [1, 0, 1]})"), ErrorCode::kBadFormat);
  EXPECT_EQ(code_of(R"({"do_resize": 1})"), ErrorCode::kBadFormat);
  EXPECT_EQ(code_of("[]"), ErrorCode::kBadFormat);
}

TEST(ProcessorConfig, MissingFilesAreNamed) {
  EXPECT_THROW(load_image_processor_config(test_data() / "image"), Error);
  EXPECT_THROW(load_image_processor_config("/nonexistent/preprocessor_config.json"), Error);
}

}  // namespace
}  // namespace llava::image
