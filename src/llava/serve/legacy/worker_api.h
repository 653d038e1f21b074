// SPDX-License-Identifier: Apache-2.0
//
// The routes of the original's model worker, and those that FastChat's controller asks besides.
#pragma once

#include <optional>
#include <string_view>

#include "llava/core/config.h"
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
  bool legacy_exact_chunks = false;
  std::optional<int32_t> legacy_top_k;

  template <class V>
  void describe(V& v) {
    v.field("no-legacy-endpoints", no_legacy_endpoints,
            "speak nothing of the original's protocol, which knows no keys of its own");
    v.field("legacy-exact-chunks", legacy_exact_chunks,
            "of the original's protocol: a record for every token with whole words only, as the "
            "original sends them, also where it repeats the one before");
    v.field("legacy-top-k", legacy_top_k,
            "of the original's protocol, whose requests name none: sample from this many tokens, 0 "
            "from all; default: what the checkpoint says, else 50",
            at_least(0));
  }
};

/// What a worker says of itself: its models and how much it has to do.
WorkerStatus worker_status(ModelService& service, const LegacyOptions& options);

/// Adds the routes; `service` outlives the router's server.
void add_worker_routes(Router& router, ModelService& service, const LegacyOptions& options);

}  // namespace llava::serve
