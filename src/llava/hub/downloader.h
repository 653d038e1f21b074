// SPDX-License-Identifier: Apache-2.0
//
// Brings files of a model into its cache: several at a time, large ones in several parts at a time,
// going on where an earlier attempt was ended.
#pragma once

#include <string>
#include <vector>

#include "llava/core/progress.h"
#include "llava/hub/hub_settings.h"
#include "llava/hub/repo_cache.h"
#include "llava/hub/repo_listing.h"

namespace llava::hub {

struct DownloadRequest {
  std::string repo;
  std::string commit;
  std::vector<RepoFile> files;  ///< with size and blob
};

/// Makes sure that the cache has the content of all these files. Each is compared with its hash
/// before it gets its name. A content that another process fetches is waited for.
///
/// `on_progress`: bytes that are there and bytes in all; called on the caller's thread.
/// Throws: Error(kUnavailable), Error(kNotFound), Error(kBadFormat) for a wrong hash,
/// Error(kResourceExhausted) for a full disk; all name the file, and what has come is kept.
/// Threads: `settings.max_connections` of its own.
void download(const HubSettings& settings, const RepoCache& cache, const DownloadRequest& request,
              const ProgressCallback& on_progress);

}  // namespace llava::hub
