// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/gateway_parts.h"

#include <algorithm>
#include <thread>

#include "llava/engine/prompt_images.h"

namespace llava::serve {
namespace {

std::size_t num_threads() { return std::clamp(std::thread::hardware_concurrency() / 2, 1u, 8u); }

}  // namespace

GatewayParts::GatewayParts(const GatewayOptions& gateway_options)
    : options(gateway_options),
      pool(num_threads()),
      outgoing(std::make_unique<OutgoingHttp>()),
      controllers(*outgoing, engine::split_list(options.controller_address, ","),
                  options.worker_token),
      kinds(*outgoing),
      names(options.model_list, controllers) {
  if (options.moderation.moderate || options.moderation.moderate_api) {
    moderator = std::make_unique<Moderator>(options.moderation, *outgoing);
  }
  if (options.concurrency_count > 0) {
    gate = std::make_shared<ConcurrencyGate>(options.concurrency_count);
  }
}

GatewayParts::~GatewayParts() {
  is_stopping = true;
  pool.stop();
  pool.join();
  // Its callbacks use everything above, and give the pool tasks that never run.
  outgoing.reset();
}

}  // namespace llava::serve
