// SPDX-License-Identifier: Apache-2.0
//
// Where the hub is, who asks, and where models are kept: the environment as huggingface_hub reads
// it, with what the flags of a command say instead.
#pragma once

#include <filesystem>
#include <string>

namespace llava::hub {

struct HubSettings {
  std::string endpoint;         ///< "https://host", or a mirror; no slash at the end
  std::string token;            ///< of an account; empty: none
  std::filesystem::path cache;  ///< checkpoint::hub_cache()
  bool is_offline = false;      ///< no request at all
  int max_connections = 8;      ///< requests at the same time
};

/// Settings of the environment: HF_ENDPOINT; HF_TOKEN, else the file HF_TOKEN_PATH or "token" in
/// HF_HOME, unless HF_HUB_DISABLE_IMPLICIT_TOKEN; the cache; HF_HUB_OFFLINE.
///
/// Throws: Error(kInvalidArgument) for an endpoint or token that cannot be one,
/// Error(kNotFound) when there is no place for the cache.
HubSettings settings_of_environment();

/// The endpoint without slashes at its end.
///
/// Throws: Error(kInvalidArgument) unless it is http:// or https:// and a host; `source` names it.
std::string checked_endpoint(const std::string& text, const std::string& source);

/// The token in a file, without white space around it; empty for an empty file.
///
/// Throws: Error(kNotFound), Error(kBadFormat) for a file that cannot hold a token.
std::string read_token_file(const std::filesystem::path& path);

}  // namespace llava::hub
