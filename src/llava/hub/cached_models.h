// SPDX-License-Identifier: Apache-2.0
//
// What the cache holds, and taking something out of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "llava/checkpoint/hub_cache.h"

namespace llava::hub {

/// A commit of a model in the cache.
struct CachedSnapshot {
  std::string commit;
  std::vector<std::string> refs;  ///< branches and tags that are this commit
  std::filesystem::path path;
  uint64_t bytes = 0;     ///< of its contents, each once; other commits may share them
  int64_t last_used = 0;  ///< seconds since 1970, as the file system counts reading
};

struct CachedModel {
  std::string repo;  ///< "org/name"
  std::filesystem::path folder;
  std::vector<CachedSnapshot> snapshots;  ///< by commit
  uint64_t bytes = 0;                     ///< of everything
  uint64_t partial_bytes = 0;             ///< of contents that are not whole
};

/// The models in a cache, by name. Other things in it are left out.
std::vector<CachedModel> list_cached_models(const std::filesystem::path& cache);

/// What is to be removed.
struct Removal {
  std::filesystem::path cache;
  std::string repo;
  std::string commit;  ///< one of several; empty: all of the model
  uint64_t bytes = 0;  ///< of the contents that no commit needs afterwards
};

/// Finds what a name means in a cache: all of a model, or with a revision that commit.
///
/// Throws: Error(kNotFound) naming what there is instead.
Removal plan_removal(const std::filesystem::path& cache, const checkpoint::HubName& name);

/// Removes links and references first, then the contents that no commit needs any more, so that
/// what is left is whole whenever it is interrupted.
///
/// Throws: Error(kUnavailable) while another process fetches something of the model;
/// Error(kResourceExhausted) for what cannot be removed.
void remove(const Removal& removal);

}  // namespace llava::hub
