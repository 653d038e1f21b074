// SPDX-License-Identifier: Apache-2.0
#include "llava/image/processor_config.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/image/pinpoints.h"

namespace llava::image {
namespace {

/// Larger than any published tower by far; bounds what a hostile file can make us allocate.
constexpr int64_t kMaxProcessorSide = 8192;
constexpr int64_t kResampleBicubic = 3;

const std::vector<ImageSize> kNextPinpoints = {
    {672, 336}, {336, 672}, {672, 672}, {336, 1008}, {1008, 336}};

std::vector<ImageSize> onevision_pinpoints() {
  std::vector<ImageSize> pinpoints;
  for (int32_t rows = 1; rows <= 6; ++rows) {
    for (int32_t columns = 1; columns <= 6; ++columns) {
      pinpoints.push_back({columns * 384, rows * 384});
    }
  }
  return pinpoints;
}

/// The kind a file names; suffixes of other implementations of the same processor are dropped.
ProcessorKind parse_kind(const JsonObject& object) {
  auto name = object.get_string("image_processor_type");
  if (!name) name = object.get_string("feature_extractor_type");
  if (!name) return ProcessorKind::kClip;
  std::string_view stem = *name;
  for (const std::string_view suffix : {"Fast", "Pil"}) {
    if (stem.ends_with(suffix)) stem.remove_suffix(suffix.size());
  }
  for (const std::string_view suffix : {"ImageProcessor", "FeatureExtractor"}) {
    if (stem.ends_with(suffix)) stem.remove_suffix(suffix.size());
  }
  constexpr std::array<std::pair<std::string_view, ProcessorKind>, 5> kinds = {
      {{"CLIP", ProcessorKind::kClip},
       {"Siglip", ProcessorKind::kSiglip},
       {"Llava", ProcessorKind::kLlava},
       {"LlavaNext", ProcessorKind::kLlavaNext},
       {"LlavaOnevision", ProcessorKind::kLlavaOnevision}}};
  for (const auto& [known, kind] : kinds) {
    if (stem == known) return kind;
  }
  fail(ErrorCode::kUnsupported,
       "{}: image processor '{}' is none of CLIP, Siglip, Llava, LlavaNext and LlavaOnevision; "
       "use the preprocessor_config.json of a LLaVA checkpoint or of its vision tower",
       object.source(), *name);
}

ImageProcessorConfig defaults_of(ProcessorKind kind) {
  ImageProcessorConfig config;
  config.kind = kind;
  switch (kind) {
    case ProcessorKind::kClip:
    case ProcessorKind::kLlava:
      break;
    case ProcessorKind::kLlavaNext:
      config.pinpoints = kNextPinpoints;
      break;
    case ProcessorKind::kSiglip:
      config.shortest_edge = 0;
      config.exact_size = {224, 224};
      config.do_center_crop = false;
      config.mean = config.std = {0.5, 0.5, 0.5};
      break;
    case ProcessorKind::kLlavaOnevision:
      config.shortest_edge = 0;
      config.exact_size = {384, 384};
      config.do_center_crop = false;
      config.pinpoints = onevision_pinpoints();
      break;
  }
  return config;
}

int32_t side_of(const JsonObject& object, std::string_view key, const Json& value) {
  const bool is_integer = value.is_number_integer();
  const int64_t side = is_integer ? value.get<int64_t>() : 0;
  if (side < 1 || side > kMaxProcessorSide) {
    object.wrong_type(key, fmt::format("a side of 1 to {} pixels", kMaxProcessorSide));
  }
  return static_cast<int32_t>(side);
}

/// {"height": h, "width": w} or [h, w].
std::optional<ImageSize> extent_of(const JsonObject& object, std::string_view key,
                                   const Json& value) {
  if (value.is_array() && value.size() == 2) {
    return ImageSize{side_of(object, key, value[1]), side_of(object, key, value[0])};
  }
  if (value.is_object() && value.contains("height") && value.contains("width")) {
    return ImageSize{side_of(object, key, value["width"]), side_of(object, key, value["height"])};
  }
  return std::nullopt;
}

void parse_size(const JsonObject& object, ImageProcessorConfig& config) {
  const Json* value = object.find("size");
  if (value == nullptr) return;
  config.shortest_edge = 0;
  config.exact_size = {};
  if (const auto extent = extent_of(object, "size", *value)) {
    config.exact_size = *extent;
  } else if (value->is_number()) {
    const int32_t side = side_of(object, "size", *value);
    if (config.kind == ProcessorKind::kSiglip) {
      config.exact_size = {side, side};
    } else {
      config.shortest_edge = side;
    }
  } else if (value->is_object() && value->size() == 1 && value->contains("shortest_edge")) {
    config.shortest_edge = side_of(object, "size", (*value)["shortest_edge"]);
  } else {
    fail(ErrorCode::kUnsupported,
         "{}: key 'size' is {}, expected an integer, {{\"shortest_edge\": n}} or "
         "{{\"height\": h, \"width\": w}}; other rules are used by no LLaVA checkpoint",
         object.source(), to_text(*value).substr(0, 200));
  }
}

void parse_crop_size(const JsonObject& object, ImageProcessorConfig& config) {
  const Json* value = object.find("crop_size");
  if (value == nullptr) return;
  if (const auto extent = extent_of(object, "crop_size", *value)) {
    config.crop_size = *extent;
  } else if (value->is_number()) {
    const int32_t side = side_of(object, "crop_size", *value);
    config.crop_size = {side, side};
  } else {
    object.wrong_type("crop_size", "an integer or {\"height\": h, \"width\": w}");
  }
}

std::array<double, 3> parse_channels(const JsonObject& object, std::string_view key,
                                     std::array<double, 3> fallback) {
  const auto list = object.get_number_list(key);
  if (!list) return fallback;
  const auto is_finite = [](double value) { return std::isfinite(static_cast<float>(value)); };
  if (list->size() != 3 || !std::all_of(list->begin(), list->end(), is_finite)) {
    object.wrong_type(key, "a list of 3 finite numbers");
  }
  return {(*list)[0], (*list)[1], (*list)[2]};
}

void check_resample(const JsonObject& object) {
  const auto resample = object.get_int("resample");
  if (resample && *resample != kResampleBicubic) {
    fail(ErrorCode::kUnsupported,
         "{}: key 'resample' is {}, expected 3 (bicubic): no LLaVA checkpoint is published with "
         "another filter",
         object.source(), *resample);
  }
}

}  // namespace

int32_t ImageProcessorConfig::tile_size() const {
  const ImageSize view = do_center_crop      ? crop_size
                         : shortest_edge > 0 ? ImageSize{shortest_edge, shortest_edge}
                                             : exact_size;
  if (view.width != view.height) {
    fail(ErrorCode::kUnsupported,
         "the image processor makes views of {}x{} pixels, and LLaVA's towers need square ones; "
         "check crop_size and size in preprocessor_config.json",
         view.width, view.height);
  }
  return view.width;
}

Rgb ImageProcessorConfig::pad_color() const {
  const auto channel = [](double value) {
    return static_cast<uint8_t>(std::clamp(value * 255, 0.0, 255.0));
  };
  return {channel(mean[0]), channel(mean[1]), channel(mean[2])};
}

ImageProcessorConfig parse_image_processor_config(const nlohmann::json& value,
                                                  std::string_view source) {
  const JsonObject outer(value, source);
  const Json* nested = outer.find("image_processor");
  const JsonObject object(nested != nullptr ? *nested : value, source);
  check_resample(object);
  ImageProcessorConfig config = defaults_of(parse_kind(object));
  config.do_resize = object.get_bool("do_resize").value_or(config.do_resize);
  config.do_center_crop = object.get_bool("do_center_crop").value_or(config.do_center_crop);
  config.do_rescale = object.get_bool("do_rescale").value_or(config.do_rescale);
  config.do_normalize = object.get_bool("do_normalize").value_or(config.do_normalize);
  parse_size(object, config);
  parse_crop_size(object, config);
  config.rescale_factor = object.get_number("rescale_factor").value_or(config.rescale_factor);
  config.mean = parse_channels(object, "image_mean", config.mean);
  config.std = parse_channels(object, "image_std", config.std);
  const auto is_zero = [](double deviation) { return static_cast<float>(deviation) == 0.0F; };
  if (std::any_of(config.std.begin(), config.std.end(), is_zero)) {
    object.wrong_type("image_std", "a list of 3 numbers other than zero");
  }
  if (config.kind == ProcessorKind::kLlava) {
    config.do_pad_to_square = object.get_bool("do_pad").value_or(false);
  }
  if (object.has("image_grid_pinpoints")) {
    const int32_t tile =
        config.exact_size.width > 0 ? config.exact_size.width : config.shortest_edge;
    config.pinpoints = read_pinpoints(object, PinpointOrder::kHeightFirst, tile);
  }
  return config;
}

ImageProcessorConfig load_image_processor_config(const std::filesystem::path& folder_or_file) {
  if (!std::filesystem::is_directory(folder_or_file)) {
    return parse_image_processor_config(read_json_file(folder_or_file), folder_or_file.string());
  }
  const auto own = folder_or_file / "preprocessor_config.json";
  if (std::filesystem::exists(own)) {
    return parse_image_processor_config(read_json_file(own), own.string());
  }
  const auto joint = folder_or_file / "processor_config.json";
  if (std::filesystem::exists(joint)) {
    const Json value = read_json_file(joint);
    if (JsonObject(value, joint.string()).has("image_processor")) {
      return parse_image_processor_config(value, joint.string());
    }
  }
  fail(ErrorCode::kNotFound,
       "'{}' has no preprocessor_config.json and no processor_config.json with an "
       "'image_processor' object; copy the file of the vision tower into it",
       folder_or_file.string());
}

}  // namespace llava::image
