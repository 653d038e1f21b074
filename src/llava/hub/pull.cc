// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/pull.h"

#include <algorithm>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/log.h"
#include "llava/hub/downloader.h"
#include "llava/hub/hub_api.h"
#include "llava/hub/repo_cache.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxDescriptionBytes = 256 << 20;

class Pull {
 public:
  Pull(const HubSettings& settings, const PullRequest& request, const ProgressCallback& on_progress)
      : settings_(settings),
        request_(request),
        on_progress_(on_progress),
        client_(settings),
        cache_(settings.cache, request.name.repo),
        source_(fmt::format("model '{}'", request.name.text())) {}

  fs::path run() {
    listing_ = fetch_listing(client_, settings_, request_.name, {});
    if (request_.patterns.include.empty()) {
      fetch(description_files(listing_));
      if (request_.has_weights) {
        fetch(weight_files(
            listing_, [this](const RepoFile& file) { return text_of(file); }, source_));
      }
    } else {
      auto files = listing_.files;
      std::erase_if(files, [this](const RepoFile& file) {
        return !matches_any(request_.patterns.include, file.path);
      });
      fetch(std::move(files));
    }
    if (fetched_.empty()) fail_without_files();
    publish();
    return cache_.snapshot(listing_.commit);
  }

 private:
  void fetch(std::vector<RepoFile> files) {
    std::erase_if(files, [this](const RepoFile& file) {
      return matches_any(request_.patterns.exclude, file.path);
    });
    for (RepoFile& file : files) {
      complete_file(client_, settings_, request_.name.repo, listing_.commit, file, {});
    }
    download(settings_, cache_,
             {.repo = request_.name.repo, .commit = listing_.commit, .files = files}, on_progress_);
    fetched_.insert(fetched_.end(), files.begin(), files.end());
  }

  // Of a description file, which is in the cache unless it was excluded.
  std::string text_of(const RepoFile& file) const {
    const auto it = std::ranges::find(fetched_, file.path, &RepoFile::path);
    if (it == fetched_.end()) {
      fail(ErrorCode::kInvalidArgument,
           "'{}' is excluded, but it says which files the model needs: name those with --include",
           file.path);
    }
    return read_file(cache_.blob(it->blob), kMaxDescriptionBytes);
  }

  void publish() const {
    for (const RepoFile& file : fetched_) cache_.link(listing_.commit, file.path, file.blob);
    for (const std::string& path : absent_files(listing_)) {
      cache_.note_absent(listing_.commit, path);
    }
    const std::string& revision = request_.name.revision;
    cache_.set_ref(revision.empty() ? "main" : revision, listing_.commit);
    log_info(
        "pulled",
        {{"name", request_.name.text()}, {"commit", listing_.commit}, {"files", fetched_.size()}});
  }

  [[noreturn]] void fail_without_files() const {
    std::string names;
    constexpr std::size_t kMostNames = 50;
    for (std::size_t i = 0; i < std::min(listing_.files.size(), kMostNames); ++i) {
      names += "\n  " + listing_.files[i].path;
    }
    fail(ErrorCode::kNotFound, "no file of {} matches --include and --exclude; it has{}", source_,
         names.empty() ? " none" : names);
  }

  const HubSettings& settings_;
  const PullRequest& request_;
  const ProgressCallback& on_progress_;
  HubClient client_;
  RepoCache cache_;
  std::string source_;
  RepoListing listing_;
  std::vector<RepoFile> fetched_;
};

fs::path find_offline(const HubSettings& settings, const checkpoint::HubName& name) {
  const fs::path folder = checkpoint::find_in_hub_cache(name);
  if (!folder.empty()) return fs::absolute(folder).lexically_normal();
  fail(ErrorCode::kNotFound,
       "model '{}' is not in the cache '{}', and HF_HUB_OFFLINE or --offline forbids to fetch it: "
       "run 'llava pull {}' where there is a network",
       name.text(), settings.cache.string(), name.text());
}

}  // namespace

fs::path pull(const HubSettings& settings, const PullRequest& request,
              const ProgressCallback& on_progress) {
  if (settings.is_offline) return find_offline(settings, request.name);
  return Pull(settings, request, on_progress).run();
}

}  // namespace llava::hub
