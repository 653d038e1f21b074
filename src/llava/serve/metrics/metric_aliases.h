// SPDX-License-Identifier: Apache-2.0
//
// Our metrics under the names that dashboards of vLLM and SGLang ask for (serving.md 6.11).
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <string_view>
#include <vector>

namespace llava::serve {

/// Copies of `families` as `program` names them, "vllm" or "sglang", with the model in its label
/// `model_name`.
std::vector<prometheus::MetricFamily> metric_aliases(
    std::string_view program, const std::vector<prometheus::MetricFamily>& families);

/// The programs of a list such as "vllm,sglang".
///
/// Throws: Error(kInvalidArgument) naming the flag for a word that is neither.
std::vector<std::string> read_metrics_compat(std::string_view list);

}  // namespace llava::serve
