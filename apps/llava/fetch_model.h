// SPDX-License-Identifier: Apache-2.0
//
// Models by name: fetching from the hub what a command is about to open.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "llava/hub/pull.h"

namespace llava::app {

/// The one name that a command was given as its argument.
///
/// Throws: Error(kInvalidArgument) for none, several, and a text that can be no name.
checkpoint::HubName only_hub_name(const std::vector<std::string>& names,
                                  const std::string& command);

/// Fetches a model and the parts it names, with progress on stderr.
///
/// Throws: what hub::pull throws.
std::filesystem::path pull_model(const hub::HubSettings& settings, const hub::PullRequest& request);

/// The flags of a command that may name models of the hub, and what it needs of them.
struct ModelFlags {
  std::string model_path;
  std::string model_base = {};
  bool needs_tower = true;    ///< false: one was given, or none is looked at
  bool needs_weights = true;  ///< false: configurations and tokenizers only
};

/// Makes sure that what these flags name is on this machine: models of the hub that no path here is
/// called like, and the towers and bases that checkpoints name. Nothing is asked of the hub for
/// what is here already. Offline, and for a text that can be no "org/name", it does nothing:
/// opening the model then says what is missing.
///
/// Throws: what hub::pull throws.
void fetch_model(const ModelFlags& flags);

}  // namespace llava::app
