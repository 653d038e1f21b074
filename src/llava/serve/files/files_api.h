// SPDX-License-Identifier: Apache-2.0
//
// OpenAI's /v1/files.
#pragma once

#include "llava/serve/chat/model_service.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Adds the routes; `service` outlives the router's server.
void add_files_routes(Router& router, ModelService& service);

/// What OpenAI answers for what is not there.
[[noreturn]] void fail_no_file(const std::string& id);

}  // namespace llava::serve
