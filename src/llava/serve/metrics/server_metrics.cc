// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/metrics/server_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <fstream>

#include "llava/core/memory_use.h"
#include "llava/core/version.h"

namespace llava::serve {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;
using Labels = std::map<std::string, std::string>;

// vLLM's, so that dashboards carry over.
const Buckets kFirstTokenBuckets = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                    0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                    20,    40,    80,   160,  640,  2560};
const Buckets kTokenBuckets = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                               0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
const Buckets kRequestBuckets = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                 30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};

std::string_view reason_word(engine::FinishReason reason) {
  switch (reason) {
    case engine::FinishReason::kLength:
      return "length";
    case engine::FinishReason::kCancelled:
      return "abort";
    default:
      return "stop";
  }
}

}  // namespace

struct ServerMetrics::Families {
  explicit Families(const std::string& model) : labels{{"model", model}} {}

  prometheus::Gauge& gauge(const std::string& name, const std::string& help) {
    return BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
  }
  prometheus::Counter& counter(const std::string& name, const std::string& help, Labels more = {}) {
    more.insert(labels.begin(), labels.end());
    return BuildCounter().Name(name).Help(help).Register(registry).Add(more);
  }
  prometheus::Histogram& histogram(const std::string& name, const std::string& help,
                                   const Buckets& buckets) {
    return BuildHistogram().Name(name).Help(help).Register(registry).Add(labels, buckets);
  }

  Labels labels;
  prometheus::Registry registry;

  prometheus::Family<prometheus::Counter>& http_requests =
      BuildCounter()
          .Name("llava_http_requests_total")
          .Help("Requests by route, method and status")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& http_seconds =
      BuildHistogram()
          .Name("llava_http_request_seconds")
          .Help("Time from the last byte of a request to the end of its answer")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& finished =
      BuildCounter()
          .Name("llava_requests_finished_total")
          .Help("Answers by the reason of their end")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& rejected =
      BuildCounter()
          .Name("llava_requests_rejected_total")
          .Help("Requests that were refused or failed, by the code of the error")
          .Register(registry);
  prometheus::Family<prometheus::Counter>& prompt_tokens =
      BuildCounter()
          .Name("llava_prompt_tokens_total")
          .Help("Tokens of prompts, of text and of pictures")
          .Register(registry);
  prometheus::Counter& generation_tokens =
      counter("llava_generation_tokens_total", "Tokens of answers");
  prometheus::Counter& query_tokens =
      counter("llava_prefix_cache_query_tokens_total", "Tokens of prompts that were looked for");
  prometheus::Counter& hit_tokens =
      counter("llava_prefix_cache_hit_tokens_total", "Of those, computed before");
  prometheus::Histogram& first_token =
      histogram("llava_time_to_first_token_seconds", "From submission to the first token",
                kFirstTokenBuckets);
  prometheus::Histogram& inter_token = histogram(
      "llava_inter_token_latency_seconds", "Mean gap between tokens of an answer", kTokenBuckets);
  prometheus::Histogram& end_to_end =
      histogram("llava_e2e_latency_seconds", "From submission to the last token", kRequestBuckets);
  prometheus::Histogram& queue_time =
      histogram("llava_queue_time_seconds", "Waiting before anything is computed", kRequestBuckets);
  prometheus::Histogram& encode_time =
      histogram("llava_encode_time_seconds", "Encoding of pictures", kRequestBuckets);
  prometheus::Histogram& prefill_time =
      histogram("llava_prefill_time_seconds", "From the queue to the first token", kRequestBuckets);
  prometheus::Histogram& decode_time =
      histogram("llava_decode_time_seconds", "From the first token to the last", kRequestBuckets);

  prometheus::Gauge& running = gauge("llava_requests_running", "Requests that are computed");
  prometheus::Gauge& waiting = gauge("llava_requests_waiting", "Requests that wait");
  prometheus::Gauge& kv_usage =
      gauge("llava_kv_usage_ratio", "Share of the KV cache that running requests and pins hold");
  prometheus::Gauge& kv_used = gauge("llava_kv_tokens_used", "The same in tokens");
  prometheus::Gauge& kv_cached =
      gauge("llava_kv_tokens_cached", "Tokens that nobody holds and that can be used again");
  prometheus::Gauge& kv_total = gauge("llava_kv_tokens_total", "Tokens that the KV cache holds");
  prometheus::Gauge& preemptions =
      gauge("llava_preemptions", "Requests that had to give their pages away, so far");
  prometheus::Gauge& connections = gauge("llava_http_connections", "Open connections");
  prometheus::Gauge& body_bytes =
      gauge("llava_http_inflight_body_bytes", "Bodies being read or answered");
  prometheus::Gauge& resident = gauge("process_resident_memory_bytes", "Memory of the process");
};

ServerMetrics::ServerMetrics(const std::string& model)
    : families_(std::make_unique<Families>(model)) {
  BuildGauge()
      .Name("llava_build_info")
      .Help("Version of the program")
      .Register(families_->registry)
      .Add({{"version", std::string(kVersion)}, {"revision", std::string(kRevision)}})
      .Set(1);
}
ServerMetrics::~ServerMetrics() = default;

void ServerMetrics::count_request(const RequestRecord& record) {
  // Paths without a route are whatever clients make up: they share one label.
  const std::string path = record.route.empty() ? "other" : record.route;
  families_->http_requests
      .Add({{"path", path}, {"method", record.method}, {"code", std::to_string(record.status)}})
      .Increment();
  families_->http_seconds.Add({{"path", path}}, kRequestBuckets)
      .Observe(record.milliseconds / 1000);
}

void ServerMetrics::count_answer(const engine::AnswerUsage& usage, int32_t image_tokens,
                                 engine::FinishReason reason) {
  Families& f = *families_;
  Labels labels = f.labels;
  labels["reason"] = reason_word(reason);
  f.finished.Add(labels).Increment();
  Labels text = f.labels;
  text["kind"] = "text";
  f.prompt_tokens.Add(text).Increment(usage.prompt_tokens - image_tokens);
  Labels image = f.labels;
  image["kind"] = "image";
  f.prompt_tokens.Add(image).Increment(image_tokens);
  f.generation_tokens.Increment(usage.completion_tokens);
  f.query_tokens.Increment(usage.prompt_tokens);
  f.hit_tokens.Increment(usage.cached_tokens);
  f.first_token.Observe(usage.first_token_ms / 1000);
  f.queue_time.Observe(usage.queue_ms / 1000);
  f.encode_time.Observe(usage.encode_ms / 1000);
  f.prefill_time.Observe((usage.first_token_ms - usage.queue_ms) / 1000);
  f.decode_time.Observe(usage.decode_ms / 1000);
  f.end_to_end.Observe((usage.first_token_ms + usage.decode_ms) / 1000);
  if (usage.completion_tokens > 1) {
    f.inter_token.Observe(usage.decode_ms / 1000 / (usage.completion_tokens - 1));
  }
}

void ServerMetrics::count_error(const std::string& code) {
  Labels labels = families_->labels;
  labels["code"] = code;
  families_->rejected.Add(labels).Increment();
}

std::string ServerMetrics::scrape(const engine::EngineStats& engine, const HttpServerStats& http) {
  Families& f = *families_;
  f.running.Set(engine.num_running);
  f.waiting.Set(engine.num_waiting);
  f.kv_used.Set(static_cast<double>(engine.pages_used) * engine.page_size);
  f.kv_cached.Set(static_cast<double>(engine.pages_cached) * engine.page_size);
  f.kv_total.Set(static_cast<double>(engine.pages_total) * engine.page_size);
  f.kv_usage.Set(
      engine.pages_total > 0 ? static_cast<double>(engine.pages_used) / engine.pages_total : 0);
  f.preemptions.Set(static_cast<double>(engine.scheduler.preemptions));
  f.connections.Set(static_cast<double>(http.connections));
  f.body_bytes.Set(static_cast<double>(http.body_bytes));
  f.resident.Set(static_cast<double>(memory_use().bytes));
  return prometheus::TextSerializer().Serialize(f.registry.Collect());
}

}  // namespace llava::serve
