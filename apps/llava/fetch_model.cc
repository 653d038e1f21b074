// SPDX-License-Identifier: Apache-2.0
#include "fetch_model.h"

#include <fmt/format.h>

#include <cstdio>

#include "llava/core/error.h"
#include "llava/hub/model_parts.h"
#include "transfer_progress.h"

namespace llava::app {
namespace {

namespace fs = std::filesystem;

fs::path pull_one(const hub::HubSettings& settings, const hub::PullRequest& request) {
  if (!settings.is_offline) {
    fmt::print(stderr, "llava: fetching {} from {}\n", request.name.text(), settings.endpoint);
  }
  TransferProgress progress(request.name.repo);
  return hub::pull(settings, request,
                   [&](uint64_t done, uint64_t total) { progress.update(done, total); });
}

void pull_parts(const hub::HubSettings& settings, const std::vector<hub::ModelPart>& parts) {
  for (const hub::ModelPart& part : parts) {
    pull_one(settings, {.name = part.name, .patterns = {}, .has_weights = part.has_weights});
  }
}

// Where the model is, after it was fetched if that was needed; empty when it cannot be.
fs::path bring(const std::string& model, bool needs_weights) {
  std::error_code error;
  if (fs::exists(model, error)) return model;
  const auto name = checkpoint::parse_hub_name(model);
  if (!name) return {};
  const fs::path cached = checkpoint::find_in_hub_cache(*name);
  if (!cached.empty() && (!needs_weights || hub::has_all_weights(cached))) return cached;
  const auto settings = hub::settings_of_environment();
  if (!name->has_owner() || settings.is_offline) return cached;
  try {
    return pull_one(settings, {.name = *name, .patterns = {}, .has_weights = needs_weights});
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kNotFound) throw;
    fail(ErrorCode::kNotFound, "'{}' is no file or folder here, and {}", model, e.what());
  }
}

}  // namespace

checkpoint::HubName only_hub_name(const std::vector<std::string>& names,
                                  const std::string& command) {
  if (names.size() != 1) {
    fail(ErrorCode::kInvalidArgument,
         "llava {}: {} names given, expected one; --help shows examples", command, names.size());
  }
  const auto name = checkpoint::parse_hub_name(names.front());
  if (!name) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' can be no model of the hub, expected org/name or org/name@revision", names.front());
  }
  return *name;
}

fs::path pull_model(const hub::HubSettings& settings, const hub::PullRequest& request) {
  fs::path folder = pull_one(settings, request);
  if (!settings.is_offline) pull_parts(settings, hub::missing_parts(folder, {}));
  return folder;
}

void fetch_model(const ModelFlags& flags) {
  if (!flags.model_base.empty()) bring(flags.model_base, flags.needs_weights);
  if (flags.model_path.empty()) return;
  const fs::path folder = bring(flags.model_path, flags.needs_weights);
  std::error_code error;
  if (folder.empty() || !fs::is_directory(folder, error)) return;
  const auto parts = hub::missing_parts(folder, {.tower = flags.needs_tower,
                                                 .base = flags.model_base.empty(),
                                                 .weights = flags.needs_weights});
  if (parts.empty()) return;
  const auto settings = hub::settings_of_environment();
  if (!settings.is_offline) pull_parts(settings, parts);
}

}  // namespace llava::app
