// SPDX-License-Identifier: Apache-2.0
//
// Which files of a repository are fetched: those that opening the checkpoint reads, and of weights
// in several formats the one that it chooses.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/hub/repo_listing.h"

namespace llava::hub {

/// Patterns of file names as in `hf download`: * and ? match '/' as well, and a pattern that ends
/// with '/' means everything in that folder.
struct FilePatterns {
  std::vector<std::string> include;  ///< empty: what the checkpoint needs
  std::vector<std::string> exclude;
};

/// Gives the text of a file of the repository.
using FileReader = std::function<std::string(const RepoFile& file)>;

bool matches_any(const std::vector<std::string>& patterns, const std::string& path);

/// The small files at the top that say what a checkpoint is: configurations, tokenizer, templates,
/// the list of its shards.
std::vector<RepoFile> description_files(const RepoListing& listing);

/// The files that hold its weights, and those of a vision tower inside. `read` is asked for
/// description files only.
///
/// Throws: Error(kNotFound) when there are none, naming what there is instead; Error(kBadFormat)
/// for an index that names what is not there.
std::vector<RepoFile> weight_files(const RepoListing& listing, const FileReader& read,
                                   std::string_view source);

/// Of the files that opening a checkpoint looks for, those that this one does not have.
std::vector<std::string> absent_files(const RepoListing& listing);

}  // namespace llava::hub
