// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/metrics/metric_aliases.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "llava/core/error.h"

namespace llava::serve {
namespace {

struct Alias {
  std::string_view ours;
  std::string_view theirs;
};

constexpr std::array kVllm{
    Alias{"llava_requests_running", "vllm:num_requests_running"},
    Alias{"llava_requests_waiting", "vllm:num_requests_waiting"},
    Alias{"llava_kv_usage_ratio", "vllm:kv_cache_usage_perc"},
    Alias{"llava_requests_finished_total", "vllm:request_success_total"},
    Alias{"llava_prompt_tokens_total", "vllm:prompt_tokens_total"},
    Alias{"llava_generation_tokens_total", "vllm:generation_tokens_total"},
    Alias{"llava_prefix_cache_query_tokens_total", "vllm:prefix_cache_queries_total"},
    Alias{"llava_prefix_cache_hit_tokens_total", "vllm:prefix_cache_hits_total"},
    Alias{"llava_preemptions_total", "vllm:num_preemptions_total"},
    Alias{"llava_image_cache_queries_total", "vllm:mm_cache_queries_total"},
    Alias{"llava_image_cache_hits_total", "vllm:mm_cache_hits_total"},
    Alias{"llava_request_prompt_tokens", "vllm:request_prompt_tokens"},
    Alias{"llava_request_generation_tokens", "vllm:request_generation_tokens"},
    Alias{"llava_request_params_n", "vllm:request_params_n"},
    Alias{"llava_request_params_max_tokens", "vllm:request_params_max_tokens"},
    Alias{"llava_step_tokens", "vllm:iteration_tokens_total"},
    Alias{"llava_time_to_first_token_seconds", "vllm:time_to_first_token_seconds"},
    Alias{"llava_inter_token_latency_seconds", "vllm:inter_token_latency_seconds"},
    Alias{"llava_e2e_latency_seconds", "vllm:e2e_request_latency_seconds"},
    Alias{"llava_queue_time_seconds", "vllm:request_queue_time_seconds"},
    Alias{"llava_prefill_time_seconds", "vllm:request_prefill_time_seconds"},
    Alias{"llava_decode_time_seconds", "vllm:request_decode_time_seconds"},
};

constexpr std::array kSglang{
    Alias{"llava_requests_running", "sglang:num_running_reqs"},
    Alias{"llava_requests_waiting", "sglang:num_queue_reqs"},
    Alias{"llava_requests_grammar_waiting", "sglang:num_grammar_queue_reqs"},
    Alias{"llava_kv_usage_ratio", "sglang:token_usage"},
    Alias{"llava_kv_tokens_used", "sglang:num_used_tokens"},
    Alias{"llava_kv_tokens_total", "sglang:max_total_num_tokens"},
    Alias{"llava_prompt_tokens_total", "sglang:prompt_tokens_total"},
    Alias{"llava_generation_tokens_total", "sglang:generation_tokens_total"},
    Alias{"llava_preemptions_total", "sglang:num_retracted_reqs"},
    Alias{"llava_generation_throughput_tokens_per_second", "sglang:gen_throughput"},
    Alias{"llava_time_to_first_token_seconds", "sglang:time_to_first_token_seconds"},
    Alias{"llava_inter_token_latency_seconds", "sglang:inter_token_latency_seconds"},
    Alias{"llava_e2e_latency_seconds", "sglang:e2e_request_latency_seconds"},
};

std::span<const Alias> aliases_of(std::string_view program) {
  if (program == "vllm") return kVllm;
  return kSglang;
}

void rename_labels(std::vector<prometheus::ClientMetric::Label>& labels) {
  for (auto& label : labels) {
    if (label.name == "model") label.name = "model_name";
    if (label.name == "reason") label.name = "finished_reason";
  }
}

}  // namespace

std::vector<prometheus::MetricFamily> metric_aliases(
    std::string_view program, const std::vector<prometheus::MetricFamily>& families) {
  std::vector<prometheus::MetricFamily> copies;
  for (const Alias& alias : aliases_of(program)) {
    const auto found = std::ranges::find(families, alias.ours, &prometheus::MetricFamily::name);
    if (found == families.end()) continue;
    prometheus::MetricFamily copy = *found;
    copy.name = alias.theirs;
    for (prometheus::ClientMetric& metric : copy.metric) rename_labels(metric.label);
    copies.push_back(std::move(copy));
  }
  return copies;
}

std::vector<std::string> read_metrics_compat(std::string_view list) {
  std::vector<std::string> programs;
  while (!list.empty()) {
    const std::string_view word = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), word.size() + 1));
    if (word != "vllm" && word != "sglang") {
      fail(ErrorCode::kInvalidArgument,
           "--metrics-compat has '{}', expected vllm, sglang or both with a comma between", word);
    }
    programs.emplace_back(word);
  }
  return programs;
}

}  // namespace llava::serve
