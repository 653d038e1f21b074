// SPDX-License-Identifier: Apache-2.0
//
// Brings a model of the hub into the cache that huggingface_hub and transformers share with us.
#pragma once

#include <filesystem>
#include <string>

#include "llava/checkpoint/hub_cache.h"
#include "llava/core/progress.h"
#include "llava/hub/file_selection.h"
#include "llava/hub/hub_settings.h"

namespace llava::hub {

struct PullRequest {
  checkpoint::HubName name;
  FilePatterns patterns = {};
  /// False: only what describes the model, without its weights.
  bool has_weights = true;
};

/// Fetches what is missing of one model and returns its snapshot's folder. Links and the revision's
/// commit are written when every file is there, so that what a snapshot of ours shows is whole.
///
/// `on_progress`: bytes. Offline: the snapshot in the cache.
/// Throws: what fetch_listing, weight_files and download throw; Error(kNotFound) when nothing
/// matches the patterns, or when offline and the cache does not have it.
std::filesystem::path pull(const HubSettings& settings, const PullRequest& request,
                           const ProgressCallback& on_progress = {});

}  // namespace llava::hub
