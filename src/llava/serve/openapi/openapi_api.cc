// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/openapi/openapi_api.h"

#include <string>

namespace llava::serve {

void add_openapi_route(Router& router) {
  router.add("GET", "/openapi.json", Access::kOpen, [](const RouteCall& call) {
    call.exchange->respond(make_response(200, "application/json", std::string(kOpenApiText)));
  });
}

}  // namespace llava::serve
