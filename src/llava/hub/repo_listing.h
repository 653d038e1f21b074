// SPDX-License-Identifier: Apache-2.0
//
// RepoListing: what a model consists of at one commit, as the hub lists it. Everything in it comes
// from outside and is checked here, once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llava::hub {

/// One file of a model.
struct RepoFile {
  std::string path;              ///< relative, with '/'; safe to append to a folder
  std::optional<uint64_t> size;  ///< in bytes; nothing: the listing does not say
  /// Name of its content: SHA-256 of a large file, git's SHA-1 of a small one, in lower-case
  /// hexadecimal digits; empty: the listing does not say.
  std::string blob = {};
};

struct RepoListing {
  std::string commit;  ///< 40 hexadecimal digits
  std::vector<RepoFile> files;
};

/// Reads the answer of /api/models/REPO/revision/REVISION?blobs=true; `source` names it in
/// messages.
///
/// Throws: Error(kBadFormat) for anything else, for a file name that could leave the folder it
/// belongs to or hides something (".." or empty parts, a backslash, a control character), for two
/// files of one name and for hashes that are none.
RepoListing parse_repo_listing(std::string_view json, std::string_view source);

/// Whether a file of a repository may be called so.
bool is_safe_repo_path(std::string_view path);

/// Whether a content may be called so: what a blob's file is named.
bool is_blob_name(std::string_view text);

}  // namespace llava::hub
