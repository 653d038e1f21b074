// SPDX-License-Identifier: Apache-2.0
//
// Puts load on a server and notes what came of it.
#pragma once

#include <functional>
#include <stop_token>
#include <vector>

#include "llava/core/progress.h"
#include "llava/serve/load/load_options.h"
#include "llava/serve/load/load_sample.h"

namespace llava::serve {

struct LoadResult {
  std::vector<LoadSample> samples;  ///< of every request, in the order of their ends
  double seconds = 0;               ///< from the first request to the last answer
};

/// Runs until every conversation has ended, or `stop`.
///
/// Throws: Error(kUnavailable) when the server does not answer /v1/models; what check_load_target,
/// make_arrivals and ConversationMaker throw.
LoadResult run_load(const LoadOptions& options, const std::stop_token& stop,
                    const ProgressCallback& progress);

}  // namespace llava::serve
