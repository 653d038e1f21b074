// SPDX-License-Identifier: Apache-2.0
//
// Models of the hub by name, and where this machine keeps them: the cache that huggingface_hub and
// transformers share with us. Nothing is downloaded here; src/llava/hub does that.
//
//   CACHE/models--ORG--NAME/blobs/ETAG                  content, named by its hash
//                          /refs/REVISION               the commit of a branch or tag
//                          /snapshots/COMMIT/FILE       a relative link to the blob
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace llava::checkpoint {

/// A model of the hub.
struct HubName {
  std::string repo;           ///< "org/name", or "name" for the hub's oldest models
  std::string revision = {};  ///< branch, tag or commit; empty: main

  /// As it was written: "org/name@revision".
  std::string text() const { return revision.empty() ? repo : repo + "@" + revision; }
  /// "org/name". Nothing is fetched for a text without a slash, which is more likely a folder that
  /// is not here, unless the user says 'llava pull'.
  bool has_owner() const { return repo.find('/') != std::string::npos; }
};

/// Reads "org/name", "name", and both with "@revision"; nothing when the text is no such name.
std::optional<HubName> parse_hub_name(std::string_view text);

/// Whether a branch, tag or commit may be called so, and be the name of a file below refs/.
bool is_hub_revision(std::string_view text);

/// Whether it is the whole hash of a commit: 40 lower-case hexadecimal digits.
bool is_commit_hash(std::string_view text);

/// The hub's folder of this user: HF_HOME, else huggingface in XDG_CACHE_HOME or ~/.cache. Empty
/// when there is no home folder either.
std::filesystem::path hub_home();

/// Its cache of models: HF_HUB_CACHE, else hub in hub_home().
std::filesystem::path hub_cache();

/// A path of the environment, with ~ and $VARIABLES as huggingface_hub reads them.
std::filesystem::path expand_user_path(std::string_view text);

/// "models--org--name".
std::string hub_folder_name(std::string_view repo);

/// The commit that the cached model in `folder` has for a branch, tag, commit, or the beginning of
/// one (at least 7 digits, unambiguous); empty when it has none.
std::string cached_commit(const std::filesystem::path& folder, const std::string& revision);

/// The cached snapshot of a model: of its revision; without one that of main, else the newest. An
/// empty path when there is none with a config.json, an adapter_config.json or a GGUF file.
std::filesystem::path find_in_hub_cache(const HubName& name);

/// The same for a text that may be a name. An empty path when it is none.
std::filesystem::path find_in_hub_cache(const std::string& text);

}  // namespace llava::checkpoint
