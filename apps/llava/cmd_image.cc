// SPDX-License-Identifier: Apache-2.0
//
// `llava image`: how a picture becomes views and tokens.
#include "command.h"
#include "command_line.h"
#include "fetch_model.h"
#include "llava/core/file.h"
#include "llava/core/hash.h"
#include "llava/core/json.h"
#include "llava/engine/checkpoint_images.h"
#include "llava/image/preprocess.h"
#include "picture_source.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "image",
    .summary = "Shows how pictures become views and tokens.",
    .details =
        "Needs a checkpoint (--model-path) or a bare preprocessor_config.json\n"
        "(--tower-config). The hash is over the little-endian float32 pixel values.",
    .examples =
        "  llava image photo.jpg --model-path llava-v1.6-vicuna-7b\n"
        "  llava image photo.jpg --model-path llava-v1.5-7b --preview tiles --json"};

struct ImageOptions {
  std::vector<std::string> files;
  engine::ImageRequest request;
  PictureOptions pictures;
  std::string preview;
  bool json = false;

  template <class V>
  void describe(V& v) {
    v.positional("files", files, "pictures: paths or URLs");
    request.describe(v);
    pictures.describe(v);
    v.field("preview", preview, "write the views as PNG files into this folder");
    v.field("json", json, "print one JSON object a picture");
  }
};

std::string_view mode_name(image::AspectMode mode) {
  switch (mode) {
    case image::AspectMode::kPad:
      return "pad";
    case image::AspectMode::kAnyres:
      return "anyres";
    case image::AspectMode::kSquare:
      break;
  }
  return "square";
}

void write_preview(const std::string& folder, const std::string& file,
                   const std::vector<image::RgbImage>& views) {
  std::filesystem::create_directories(folder);
  const std::string stem = std::filesystem::path(file).stem().string();
  for (std::size_t i = 0; i < views.size(); ++i) {
    const auto path = std::filesystem::path(folder) / fmt::format("{}_view{}.png", stem, i);
    write_file_atomically(path, image::encode_png(views[i]));
  }
}

OrderedJson describe_picture(const std::string& file, const image::ImageLayout& layout,
                             const image::PixelValues& pixels) {
  OrderedJson result;
  result["file"] = file;
  result["width"] = layout.original.width;
  result["height"] = layout.original.height;
  result["mode"] = mode_name(layout.mode);
  result["num_tokens"] = layout.num_tokens;
  result["tiles"] = OrderedJson::array();
  for (const image::TileRect& tile : layout.tiles) {
    result["tiles"].push_back(
        {{"x", tile.x}, {"y", tile.y}, {"width", tile.width}, {"height", tile.height}});
  }
  result["pixel_values"] = {
      {"shape", {pixels.num_tiles, pixels.channels, pixels.height, pixels.width}},
      {"sha256", to_hex(sha256(std::as_bytes(std::span(pixels.values))))}};
  return result;
}

void print_text(const OrderedJson& facts) {
  fmt::print("{}: {}x{}, {}, {} tokens\n", facts["file"].get<std::string>(),
             facts["width"].get<int>(), facts["height"].get<int>(),
             facts["mode"].get<std::string>(), facts["num_tokens"].get<int>());
  for (const auto& tile : facts["tiles"]) {
    fmt::print("  view of {}x{} at ({}, {})\n", tile["width"].get<int>(), tile["height"].get<int>(),
               tile["x"].get<int>(), tile["y"].get<int>());
  }
  fmt::print("  pixel values {} sha256 {}\n", to_text(facts["pixel_values"]["shape"]),
             facts["pixel_values"]["sha256"].get<std::string>());
}

}  // namespace

int image_command(const Arguments& arguments) {
  ImageOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  if (options.files.empty()) {
    fail(ErrorCode::kInvalidArgument, "llava image: no picture given; --help shows examples");
  }
  fetch_model({.model_path = options.request.model_path,
               .model_base = options.request.model_base,
               .needs_tower = options.request.vision_tower.empty(),
               .needs_weights = false});
  const engine::CheckpointImages rules = engine::open_checkpoint_images(options.request);
  for (const std::string& file : options.files) {
    const image::RgbImage picture = load_picture(file, options.pictures);
    const image::ImageLayout layout = image::plan_layout(picture.size, rules.geometry);
    const auto views = image::render_views(picture, rules.processor, layout);
    if (!options.preview.empty()) write_preview(options.preview, file, views);
    const OrderedJson facts =
        describe_picture(file, layout, image::normalize_views(views, rules.processor));
    if (options.json) {
      fmt::print("{}\n", to_text(facts));
    } else {
      print_text(facts);
    }
  }
  return 0;
}

}  // namespace llava::app
