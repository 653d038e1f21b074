// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/hub_cache.h"

#include <algorithm>
#include <cstdlib>

#include "llava/core/file.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxNameLength = 96;
constexpr std::size_t kMaxRevisionLength = 200;
constexpr std::size_t kCommitLength = 40;
constexpr std::size_t kLeastPrefixLength = 7;

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_name_part(std::string_view part) {
  if (part.empty() || part.front() == '-' || part.front() == '.' || part.back() == '-' ||
      part.back() == '.' || part.ends_with(".git")) {
    return false;
  }
  if (part.find("--") != std::string_view::npos || part.find("..") != std::string_view::npos) {
    return false;
  }
  return std::all_of(part.begin(), part.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_repo(std::string_view text) {
  if (text.size() > kMaxNameLength) return false;
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return is_name_part(text);
  return is_name_part(text.substr(0, slash)) && is_name_part(text.substr(slash + 1));
}

bool is_hexadecimal(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::string() : value;
}

// The first of these that is set.
fs::path folder_from(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const std::string value = environment(name); !value.empty()) return expand_user_path(value);
  }
  return {};
}

bool is_checkpoint(const fs::path& folder) {
  std::error_code error;
  if (fs::is_regular_file(folder / "config.json", error) ||
      fs::is_regular_file(folder / "adapter_config.json", error)) {
    return true;
  }
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".gguf" && entry.is_regular_file(error)) return true;
  }
  return false;
}

std::string read_ref(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return {};
  std::string commit = read_file(path, 4096);
  while (!commit.empty() && (commit.back() == '\n' || commit.back() == '\r')) commit.pop_back();
  const bool is_plain = commit.find_first_of("/.\\") == std::string::npos;
  return is_plain ? commit : std::string();
}

fs::path newest_checkpoint(const fs::path& snapshots) {
  std::error_code error;
  fs::path newest;
  fs::file_time_type newest_time{};
  for (const auto& entry : fs::directory_iterator(snapshots, error)) {
    if (!is_checkpoint(entry.path())) continue;
    const auto time = fs::last_write_time(entry.path(), error);
    if (newest.empty() || time > newest_time) {
      newest = entry.path();
      newest_time = time;
    }
  }
  return newest;
}

}  // namespace

std::optional<HubName> parse_hub_name(std::string_view text) {
  const std::size_t at = text.find('@');
  HubName name{.repo = std::string(text.substr(0, at))};
  if (!is_repo(name.repo)) return std::nullopt;
  if (at == std::string_view::npos) return name;
  name.revision = text.substr(at + 1);
  if (!is_hub_revision(name.revision)) return std::nullopt;
  return name;
}

// Narrower than git's own rules: what it refuses besides are signs that no hub shows.
bool is_hub_revision(std::string_view text) {
  if (text.empty() || text.size() > kMaxRevisionLength || text.front() == '/' ||
      text.back() == '/' || text.front() == '-' || text.front() == '.' ||
      text.find("..") != std::string_view::npos || text.find("//") != std::string_view::npos ||
      text.find("/.") != std::string_view::npos) {
    return false;
  }
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || std::string_view("-_./+").find(c) != std::string_view::npos;
  });
}

bool is_commit_hash(std::string_view text) {
  return text.size() == kCommitLength && is_hexadecimal(text);
}

fs::path expand_user_path(std::string_view text) {
  std::string path(text);
  if (path == "~" || path.starts_with("~/")) path.replace(0, 1, environment("HOME"));
  std::string expanded;
  for (std::size_t at = 0; at < path.size();) {
    const bool is_braced = path.compare(at, 2, "${") == 0;
    const std::size_t begin = at + (is_braced ? 2 : 1);
    std::size_t end = begin;
    while (end < path.size() && (is_alphanumeric(path[end]) || path[end] == '_')) ++end;
    const bool is_closed = !is_braced || (end < path.size() && path[end] == '}');
    const char* value = path[at] == '$' && end > begin && is_closed
                            ? std::getenv(path.substr(begin, end - begin).c_str())
                            : nullptr;
    if (value == nullptr) {
      expanded += path[at++];
    } else {
      expanded += value;
      at = end + (is_braced ? 1 : 0);
    }
  }
  return expanded;
}

fs::path hub_home() {
  if (const fs::path home = folder_from({"HF_HOME"}); !home.empty()) return home;
  if (const fs::path cache = folder_from({"XDG_CACHE_HOME"}); !cache.empty()) {
    return cache / "huggingface";
  }
  const std::string home = environment("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache" / "huggingface";
}

fs::path hub_cache() {
  // The second one is the older name of the first.
  if (const fs::path cache = folder_from({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
      !cache.empty()) {
    return cache;
  }
  const fs::path home = hub_home();
  return home.empty() ? fs::path() : home / "hub";
}

std::string hub_folder_name(std::string_view repo) {
  std::string folder = "models--";
  for (const char c : repo) {
    if (c == '/') {
      folder += "--";
    } else {
      folder += c;
    }
  }
  return folder;
}

std::string cached_commit(const fs::path& folder, const std::string& revision) {
  if (!is_hub_revision(revision)) return {};
  if (std::string commit = read_ref(folder / "refs" / revision); !commit.empty()) return commit;
  if (revision.find('/') != std::string::npos) return {};
  std::error_code error;
  if (fs::is_directory(folder / "snapshots" / revision, error)) return revision;
  if (revision.size() < kLeastPrefixLength || !is_hexadecimal(revision)) return {};
  std::string found;
  for (const auto& entry : fs::directory_iterator(folder / "snapshots", error)) {
    const std::string commit = entry.path().filename().string();
    if (!commit.starts_with(revision)) continue;
    if (!found.empty()) return {};
    found = commit;
  }
  return found;
}

fs::path find_in_hub_cache(const HubName& name) {
  const fs::path cache = hub_cache();
  if (cache.empty()) return {};
  const fs::path folder = cache / hub_folder_name(name.repo);
  const std::string commit = cached_commit(folder, name.revision.empty() ? "main" : name.revision);
  if (!commit.empty() && is_checkpoint(folder / "snapshots" / commit)) {
    return folder / "snapshots" / commit;
  }
  return name.revision.empty() ? newest_checkpoint(folder / "snapshots") : fs::path();
}

fs::path find_in_hub_cache(const std::string& text) {
  const auto name = parse_hub_name(text);
  return name ? find_in_hub_cache(*name) : fs::path();
}

}  // namespace llava::checkpoint
