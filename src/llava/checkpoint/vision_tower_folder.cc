// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/vision_tower_folder.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/log.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;

bool is_tower_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path / "config.json", ignored);
}

fs::path hub_cache() {
  if (const char* home = std::getenv("HF_HOME"); home != nullptr && *home != '\0') {
    return fs::path(home) / "hub";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return fs::path(home) / ".cache" / "huggingface" / "hub";
  }
  return {};
}

fs::path hub_folder(const std::string& name) {
  const fs::path cache = hub_cache();
  // A hub name is "org/name" or "name"; anything else is a path.
  const bool is_hub_name = !name.empty() && name.front() != '/' && name.front() != '.' &&
                           std::count(name.begin(), name.end(), '/') <= 1 &&
                           name.find("..") == std::string::npos;
  if (cache.empty() || !is_hub_name) return {};
  std::string folder = "models--" + name;
  const std::size_t slash = folder.find('/');
  if (slash != std::string::npos) folder.replace(slash, 1, "--");
  return cache / folder;
}

// The folder beside `folder`: its parent, also when it is given as "." or with a trailing slash.
fs::path parent_of(const fs::path& folder) {
  std::error_code error;
  const fs::path absolute = fs::absolute(folder, error).lexically_normal();
  return absolute.has_filename() ? absolute.parent_path() : absolute.parent_path().parent_path();
}

}  // namespace

fs::path find_in_hub_cache(const std::string& name) {
  const fs::path folder = hub_folder(name);
  std::error_code error;
  if (folder.empty() || !fs::is_directory(folder, error)) return {};
  if (fs::is_regular_file(folder / "refs" / "main", error)) {
    std::string revision = read_file(folder / "refs" / "main", 4096);
    while (!revision.empty() && (revision.back() == '\n' || revision.back() == '\r')) {
      revision.pop_back();
    }
    const bool is_plain = revision.find_first_of("/.") == std::string::npos;
    if (is_plain && is_tower_folder(folder / "snapshots" / revision)) {
      return folder / "snapshots" / revision;
    }
  }
  fs::path newest;
  fs::file_time_type newest_time{};
  for (const auto& entry : fs::directory_iterator(folder / "snapshots", error)) {
    if (!is_tower_folder(entry.path())) continue;
    const auto time = fs::last_write_time(entry.path(), error);
    if (newest.empty() || time > newest_time) {
      newest = entry.path();
      newest_time = time;
    }
  }
  return newest;
}

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
  if (const fs::path cached = find_in_hub_cache(query.name); !cached.empty()) {
    return use(cached, "hub cache");
  }
  if (const fs::path folder = hub_folder(query.name); !folder.empty()) tried.push_back(folder);
  std::string list;
  for (const fs::path& path : tried) list += "\n  " + path.string();
  fail(ErrorCode::kNotFound,
       "vision tower '{}' was not found; a folder with its config.json was looked for at:{}\n"
       "download it there or give its folder with --vision-tower",
       query.name, list);
}

}  // namespace llava::checkpoint
