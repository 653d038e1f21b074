// SPDX-License-Identifier: Apache-2.0
//
// The description of the HTTP API for programs: /openapi.json.
#pragma once

#include <string_view>

#include "llava/serve/routing/router.h"

namespace llava::serve {

/// OpenAPI 3.1, JSON; the file openapi.json beside this one.
extern const std::string_view kOpenApiText;

void add_openapi_route(Router& router);

}  // namespace llava::serve
