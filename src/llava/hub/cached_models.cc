// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/cached_models.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "llava/core/config.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/hub/repo_cache.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";
constexpr std::string_view kPartialSuffix = ".incomplete";

// "models--org--name" -> "org/name"
std::optional<std::string> repo_of(const std::string& folder) {
  if (!folder.starts_with(kPrefix)) return std::nullopt;
  std::string repo = folder.substr(kPrefix.size());
  if (const std::size_t at = repo.find("--"); at != std::string::npos) {
    repo.erase(at, 1);
    repo[at] = '/';
  }
  const auto name = checkpoint::parse_hub_name(repo);
  return name && name->revision.empty() ? std::optional(repo) : std::nullopt;
}

// Names of the contents that a snapshot's links lead to.
std::set<std::string> blobs_of(const fs::path& snapshot) {
  std::set<std::string> blobs;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(snapshot, error)) {
    if (!entry.is_symlink(error)) continue;
    blobs.insert(fs::read_symlink(entry.path(), error).filename().string());
  }
  return blobs;
}

std::multimap<std::string, std::string> refs_by_commit(const fs::path& folder) {
  std::multimap<std::string, std::string> refs;
  const fs::path root = folder / "refs";
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(root, error)) {
    if (!entry.is_regular_file(error)) continue;
    const std::string name = entry.path().lexically_relative(root).generic_string();
    refs.emplace(checkpoint::cached_commit(folder, name), name);
  }
  return refs;
}

CachedSnapshot read_snapshot(const fs::path& folder, const fs::path& path) {
  CachedSnapshot snapshot{.commit = path.filename().string(), .refs = {}, .path = path};
  for (const std::string& blob : blobs_of(path)) {
    struct stat status {};
    if (::stat((folder / "blobs" / blob).c_str(), &status) != 0) continue;
    snapshot.bytes += static_cast<uint64_t>(status.st_size);
    snapshot.last_used = std::max<int64_t>(snapshot.last_used, status.st_atime);
  }
  return snapshot;
}

// Bytes that this folder's own files take: a link to a content elsewhere takes none.
uint64_t own_bytes(const fs::path& file) {
  struct stat status {};
  if (::lstat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return 0;
  return static_cast<uint64_t>(status.st_size);
}

CachedModel read_model(const fs::path& folder, const std::string& repo) {
  CachedModel model{.repo = repo, .folder = folder, .snapshots = {}};
  const auto refs = refs_by_commit(folder);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "snapshots", error)) {
    if (!entry.is_directory(error)) continue;
    model.snapshots.push_back(read_snapshot(folder, entry.path()));
    const auto [begin, end] = refs.equal_range(model.snapshots.back().commit);
    for (auto it = begin; it != end; ++it) model.snapshots.back().refs.push_back(it->second);
  }
  std::ranges::sort(model.snapshots, {}, &CachedSnapshot::commit);
  for (const auto& entry : fs::directory_iterator(folder / "blobs", error)) {
    const uint64_t bytes = own_bytes(entry.path());
    model.bytes += bytes;
    if (entry.path().filename().string().ends_with(kPartialSuffix)) model.partial_bytes += bytes;
  }
  return model;
}

// Contents that nothing needs when a commit is gone. Those of no commit belong to a download that
// goes on later, unless they are whole.
std::vector<fs::path> unneeded_blobs(const CachedModel& model, const std::string& commit) {
  std::set<std::string> needed;
  for (const CachedSnapshot& snapshot : model.snapshots) {
    if (snapshot.commit == commit) continue;
    needed.merge(blobs_of(snapshot.path));
  }
  std::vector<fs::path> unneeded;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(model.folder / "blobs", error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kPartialSuffix) || needed.contains(name)) continue;
    unneeded.push_back(entry.path());
  }
  return unneeded;
}

void remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) {
    fail(ErrorCode::kResourceExhausted, "cannot remove '{}': {}: check its permissions",
         path.string(), error.message());
  }
}

// All locks of a model: nobody begins to fetch something of it while they are held.
std::vector<FileLock> lock_everything(const RepoCache& cache, const std::string& repo) {
  std::vector<FileLock> locks;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cache.locks(), error)) {
    auto lock = FileLock::try_lock(entry.path());
    if (!lock) {
      fail(ErrorCode::kUnavailable,
           "'{}' is being fetched by another process: end that, or try again when it is done",
           repo);
    }
    locks.push_back(std::move(*lock));
  }
  return locks;
}

void remove_commit(const CachedModel& model, const std::string& commit) {
  const auto unneeded = unneeded_blobs(model, commit);
  for (const CachedSnapshot& snapshot : model.snapshots) {
    if (snapshot.commit != commit) continue;
    for (const std::string& ref : snapshot.refs) remove_tree(model.folder / "refs" / ref);
  }
  remove_tree(model.folder / "snapshots" / commit);
  remove_tree(model.folder / ".no_exist" / commit);
  remove_tree(model.folder / "trees" / (commit + ".json"));
  for (const fs::path& blob : unneeded) remove_tree(blob);
}

}  // namespace

std::vector<CachedModel> list_cached_models(const fs::path& cache) {
  std::vector<CachedModel> models;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cache, error)) {
    const auto repo = repo_of(entry.path().filename().string());
    if (repo && entry.is_directory(error)) models.push_back(read_model(entry.path(), *repo));
  }
  std::ranges::sort(models, {}, &CachedModel::repo);
  return models;
}

Removal plan_removal(const fs::path& cache, const checkpoint::HubName& name) {
  const auto models = list_cached_models(cache);
  const auto model = std::ranges::find(models, name.repo, &CachedModel::repo);
  if (model == models.end()) {
    std::vector<std::string> known;
    for (const CachedModel& other : models) known.push_back(other.repo);
    const auto nearest = nearest_name(name.repo, known);
    fail(ErrorCode::kNotFound,
         "no model '{}' in the cache '{}'{}: 'llava list' shows what there is", name.repo,
         cache.string(), nearest ? fmt::format(", did you mean '{}'?", *nearest) : "");
  }
  Removal removal{.cache = cache, .repo = name.repo, .commit = {}, .bytes = model->bytes};
  if (name.revision.empty()) return removal;
  const std::string commit = checkpoint::cached_commit(model->folder, name.revision);
  if (std::ranges::find(model->snapshots, commit, &CachedSnapshot::commit) ==
      model->snapshots.end()) {
    std::string there;
    for (const CachedSnapshot& snapshot : model->snapshots) {
      there += "\n  " + snapshot.commit;
      for (const std::string& ref : snapshot.refs) there += " " + ref;
    }
    fail(ErrorCode::kNotFound, "model '{}' has no revision '{}' in the cache; there are:{}",
         name.repo, name.revision, there);
  }
  if (model->snapshots.size() == 1) return removal;
  removal.commit = commit;
  removal.bytes = 0;
  for (const fs::path& blob : unneeded_blobs(*model, commit)) removal.bytes += own_bytes(blob);
  return removal;
}

void remove(const Removal& removal) {
  const RepoCache cache(removal.cache, removal.repo);
  const auto locks = lock_everything(cache, removal.repo);
  if (removal.commit.empty()) {
    remove_tree(cache.folder() / "refs");
    remove_tree(cache.folder() / "snapshots");
    remove_tree(cache.folder());
    remove_tree(cache.locks());
  } else {
    remove_commit(read_model(cache.folder(), removal.repo), removal.commit);
  }
}

}  // namespace llava::hub
