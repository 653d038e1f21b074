// SPDX-License-Identifier: Apache-2.0
//
// The routes of the original's model worker, and those that FastChat's controller asks besides.
#pragma once

#include "llava/serve/chat/model_service.h"
#include "llava/serve/controller/worker_entry.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// What any failure is to old clients.
inline constexpr std::string_view kServerErrorText =
    "**NETWORK ERROR DUE TO HIGH TRAFFIC. PLEASE REGENERATE OR REFRESH THIS PAGE.**";
/// Follows the prompt when nothing is left for an answer.
inline constexpr std::string_view kContextOverflowText =
    "Exceeds max token length. Please start a new conversation, thanks.";

/// How the worker's endpoints behave where they differ from the others.
struct LegacyOptions {
  int32_t max_new_tokens = 1024;
  int32_t stream_interval = 1;  ///< tokens between two records
  double speed = 1;             ///< in the worker's status, relative to other workers
  bool no_legacy_endpoints = false;
};

/// What a worker says of itself: its models and how much it has to do.
WorkerStatus worker_status(ModelService& service, const LegacyOptions& options);

/// Adds the routes; `service` outlives the router's server.
void add_worker_routes(Router& router, ModelService& service, const LegacyOptions& options);

}  // namespace llava::serve
