// SPDX-License-Identifier: Apache-2.0
#include "llava/data/picture_check.h"

#include <filesystem>

#include "llava/core/file.h"

namespace llava::data {
namespace {

image::ImageSize read_size(const std::filesystem::path& path, const image::DecodeOptions& options) {
  const auto file = MappedFile::open(path);
  return image::probe_size(file->bytes(), fmt::format("'{}'", path.string()), options);
}

}  // namespace

PictureState PictureCheck::examine(const std::string& path) const {
  PictureState state;
  const std::filesystem::path file = picture_path(rules_, path);
  try {
    state.size = depth_ == PictureDepth::kDecode ? image::decode_file(file, rules_.decode).size
                                                 : read_size(file, rules_.decode);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kResourceExhausted) throw;
    state.fault = error.code();
    state.reason = error.what();
  }
  return state;
}

PictureState PictureCheck::look(const std::string& path) {
  if (depth_ == PictureDepth::kNone) return {};
  const auto known = known_.with([&](const auto& map) {
    const auto found = map.find(path);
    return found == map.end() ? nullptr : found->second;
  });
  if (known) return *known;
  auto state = std::make_shared<const PictureState>(examine(path));
  known_.with([&](auto& map) { map.emplace(path, state); });
  return *state;
}

int64_t PictureCheck::num_pictures() const {
  return known_.with([](const auto& map) { return static_cast<int64_t>(map.size()); });
}

}  // namespace llava::data
