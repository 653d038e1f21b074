// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/page_metrics.h"

#include "llava/serve/metrics/metric_families.h"

namespace llava::serve {

std::string page_metrics(const GatewayParts& parts) {
  MetricFamilies families;
  if (parts.gate) {
    families.gauge("llava_requests_running", "Requests that workers answer")
        .Set(static_cast<double>(parts.gate->num_running()));
    families.gauge("llava_requests_waiting", "Requests that wait")
        .Set(static_cast<double>(parts.gate->num_waiting()));
  }
  if (parts.moderator) {
    const ModerationCounts counts = parts.moderator->counts();
    auto& family = families.counters("llava_moderation_total",
                                     "Texts that were shown to the moderation service");
    advance(family.Add({{"result", "passed"}}), static_cast<double>(counts.passed));
    advance(family.Add({{"result", "flagged"}}), static_cast<double>(counts.flagged));
    advance(family.Add({{"result", "failed"}}), static_cast<double>(counts.failed));
  }
  return metrics_text(families.collect());
}

}  // namespace llava::serve
