// SPDX-License-Identifier: Apache-2.0
//
// What the page's server tells Prometheus besides what every gateway does.
#pragma once

#include <string>

#include "llava/serve/gateway/gateway_parts.h"

namespace llava::serve {

/// Answers that run and wait at the gate, and what moderation said, in the text format 0.0.4.
std::string page_metrics(const GatewayParts& parts);

}  // namespace llava::serve
