// SPDX-License-Identifier: Apache-2.0
//
// The hub's HTTP API: what a model consists of, and where its files are.
#pragma once

#include <stop_token>
#include <string>

#include "llava/checkpoint/hub_cache.h"
#include "llava/hub/hub_client.h"
#include "llava/hub/repo_listing.h"

namespace llava::hub {

/// The files of a model at the commit that its revision is now.
///
/// Throws: Error(kNotFound) for a model or revision that is not there; Error(kUnavailable) for one
/// that this account may not see, and when no answer comes; Error(kBadFormat).
RepoListing fetch_listing(HubClient& client, const HubSettings& settings,
                          const checkpoint::HubName& name, std::stop_token stop);

/// Fills in size and content's name, where the listing of a mirror does not say them.
///
/// Throws: as fetch_listing; Error(kBadFormat) when the file's own answer does not say them either.
void complete_file(HubClient& client, const HubSettings& settings, const std::string& repo,
                   const std::string& commit, RepoFile& file, std::stop_token stop);

/// Address of a file.
std::string file_url(const HubSettings& settings, const std::string& repo,
                     const std::string& commit, const std::string& path);

/// What an answer that no further try will change says to the user.
///
/// `what`: "model 'org/name'", or a file of it. Throws: Error(kNotFound), Error(kUnavailable).
[[noreturn]] void fail_for_status(const HubSettings& settings, const std::string& repo,
                                  const std::string& what, const HubAnswer& answer);

}  // namespace llava::hub
