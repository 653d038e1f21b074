// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/vision_tower_folder.h"

#include <algorithm>
#include <vector>

#include "llava/checkpoint/hub_cache.h"
#include "llava/core/error.h"
#include "llava/core/log.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;

bool is_tower_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path / "config.json", ignored);
}

// The folder beside `folder`: its parent, also when it is given as "." or with a trailing slash.
fs::path parent_of(const fs::path& folder) {
  std::error_code error;
  const fs::path absolute = fs::absolute(folder, error).lexically_normal();
  return absolute.has_filename() ? absolute.parent_path() : absolute.parent_path().parent_path();
}

}  // namespace

fs::path resolve_vision_tower(const VisionTowerQuery& query) {
  std::vector<fs::path> tried;
  const auto attempt = [&](const fs::path& path) {
    if (path.empty() || std::find(tried.begin(), tried.end(), path) != tried.end()) return false;
    tried.push_back(path);
    return is_tower_folder(path);
  };
  const auto use = [&](const fs::path& path, std::string_view place) {
    log_info("vision_tower", {{"name", query.name}, {"place", place}, {"path", path.string()}});
    return path;
  };

  if (!query.explicit_folder.empty()) {
    if (attempt(query.explicit_folder)) return use(query.explicit_folder, "as given");
    fail(ErrorCode::kNotFound, "vision tower folder '{}' has no config.json",
         query.explicit_folder.string());
  }
  const fs::path name(query.name);
  if (query.name.empty()) {
    fail(ErrorCode::kNotFound,
         "the checkpoint names no vision tower: give its folder with --vision-tower");
  }
  if (name.is_absolute()) {
    if (attempt(name)) return use(name, "absolute path");
  } else {
    if (!query.checkpoint_folder.empty()) {
      const fs::path inside = query.checkpoint_folder / name;
      if (attempt(inside)) return use(inside, "inside the checkpoint");
      const fs::path beside = parent_of(query.checkpoint_folder) / name;
      if (attempt(beside)) return use(beside, "beside the checkpoint");
    }
    std::error_code error;
    const fs::path here = fs::current_path(error) / name;
    if (attempt(here)) return use(here, "current folder");
  }
  if (!query.models_root.empty()) {
    if (!name.is_absolute() && attempt(query.models_root / name)) {
      return use(query.models_root / name, "models root");
    }
    if (attempt(query.models_root / name.filename())) {
      return use(query.models_root / name.filename(), "models root");
    }
  }
  const auto hub_name = parse_hub_name(query.name);
  if (hub_name) {
    const fs::path cached = find_in_hub_cache(*hub_name);
    if (!cached.empty() && is_tower_folder(cached)) return use(cached, "hub cache");
    if (!hub_cache().empty()) tried.push_back(hub_cache() / hub_folder_name(hub_name->repo));
  }
  std::string list;
  for (const fs::path& path : tried) list += "\n  " + path.string();
  fail(
      ErrorCode::kNotFound,
      "vision tower '{}' was not found; a folder with its config.json was looked for at:{}\n{}give "
      "its folder with --vision-tower",
      query.name, list,
      hub_name ? fmt::format("fetch it with 'llava pull {}', or ", query.name) : "");
}

}  // namespace llava::checkpoint
