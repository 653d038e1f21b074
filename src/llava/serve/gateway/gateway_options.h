// SPDX-License-Identifier: Apache-2.0
//
// What a gateway is told: where its controllers are, and how it treats workers.
#pragma once

#include <cstdint>
#include <string>

#include "llava/core/config.h"
#include "llava/serve/gateway/model_names.h"
#include "llava/serve/moderation/moderation_options.h"

namespace llava::serve {

struct GatewayOptions {
  std::string controller_address = "http://localhost:21001";
  std::string worker_token;
  bool forward_authorization = false;
  float worker_timeout = 600;
  float cold_start_wait = 0;
  /// Of a gateway with a page.
  int32_t concurrency_count = 0;  ///< answers made at the same time; 0: any number
  ModelListMode model_list = ModelListMode::kDirect;
  ModerationOptions moderation;

  template <class V>
  void describe(V& v) {
    v.field("controller-address", controller_address,
            "controllers to ask, with commas between; the first that answers counts");
    describe_workers(v);
  }
  /// All but the controllers, which the original's programs name in different ways.
  template <class V>
  void describe_workers(V& v) {
    v.field("worker-token", worker_token, "secret that is shown to controllers and workers");
    v.field("forward-authorization", forward_authorization,
            "show workers the client's own Authorization and x-api-key instead");
    v.field("worker-timeout", worker_timeout,
            "seconds that a worker may stay silent before its answer is given up",
            in_range(1.0f, 86400.0f));
    v.field("cold-start-wait", cold_start_wait,
            "seconds that requests wait for a model's first worker, for models that are started "
            "when they are asked for; then 503; 0: not at all",
            in_range(0.0f, 3600.0f));
  }
};

}  // namespace llava::serve
