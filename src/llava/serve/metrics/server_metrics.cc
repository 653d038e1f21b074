// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/metrics/server_metrics.h"

#include "llava/serve/metrics/http_metrics.h"
#include "llava/serve/metrics/metric_aliases.h"
#include "llava/serve/metrics/token_rate.h"

namespace llava::serve {
namespace {

/// As the front ends say it: what ended an answer that was not cut off is one thing to them.
std::string reason_label(engine::FinishReason reason, bool is_slow_client) {
  if (reason == engine::FinishReason::kCancelled) return is_slow_client ? "slow_client" : "abort";
  return reason == engine::FinishReason::kLength ? "length" : "stop";
}

// Pixels of a picture, from a thumbnail to the largest that is taken.
const MetricBuckets kPixelBuckets = {1e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2e6, 4e6, 8e6, 16e6, 40e6};

}  // namespace

struct ServerMetrics::Families {
  explicit Families(const std::string& model) : all({{"model", model}}) {}

  MetricFamilies all;
  HttpMetrics http;

  prometheus::Family<prometheus::Counter>& finished =
      all.counters("llava_requests_finished_total", "Answers by the reason of their end");
  prometheus::Family<prometheus::Counter>& rejected =
      all.counters("llava_requests_rejected_total",
                   "Requests that were refused or failed, by the code of the error");
  prometheus::Family<prometheus::Counter>& prompt_tokens =
      all.counters("llava_prompt_tokens_total", "Tokens of prompts, of text and of pictures");
  prometheus::Counter& generation_tokens =
      all.counter("llava_generation_tokens_total", "Tokens of answers");
  prometheus::Counter& query_tokens = all.counter("llava_prefix_cache_query_tokens_total",
                                                  "Tokens of prompts that were looked for");
  prometheus::Counter& hit_tokens =
      all.counter("llava_prefix_cache_hit_tokens_total", "Of those, computed before");

  prometheus::Histogram& first_token =
      all.histogram("llava_time_to_first_token_seconds",
                    "From the last byte of a request to the first token", kFirstTokenBuckets);
  prometheus::Histogram& inter_token = all.histogram(
      "llava_inter_token_latency_seconds", "Mean gap between tokens of an answer", kTokenBuckets);
  prometheus::Histogram& end_to_end =
      all.histogram("llava_e2e_latency_seconds",
                    "From the last byte of a request to the last token", kRequestBuckets);
  // The five stages are a request's time from end to end, without gaps.
  prometheus::Histogram& preprocess_time =
      all.histogram("llava_preprocess_time_seconds", "From the last byte of a request to the queue",
                    kRequestBuckets);
  prometheus::Histogram& queue_time = all.histogram(
      "llava_queue_time_seconds", "Waiting before anything is computed", kRequestBuckets);
  prometheus::Histogram& encode_time = all.histogram(
      "llava_encode_time_seconds", "Encoding of the request's pictures", kRequestBuckets);
  prometheus::Histogram& prefill_time =
      all.histogram("llava_prefill_time_seconds",
                    "From the queue to the first token, without encoding", kRequestBuckets);
  prometheus::Histogram& decode_time = all.histogram(
      "llava_decode_time_seconds", "From the first token to the last", kRequestBuckets);

  prometheus::Histogram& request_prompt_tokens =
      all.histogram("llava_request_prompt_tokens", "Tokens of a prompt", kCountBuckets);
  prometheus::Histogram& request_generation_tokens =
      all.histogram("llava_request_generation_tokens", "Tokens of an answer", kCountBuckets);
  prometheus::Histogram& request_n =
      all.histogram("llava_request_params_n", "Choices that a request asks for", {1, 2, 5, 10, 20});
  prometheus::Histogram& request_max_tokens = all.histogram(
      "llava_request_params_max_tokens", "Most tokens that a request asks for", kCountBuckets);

  prometheus::Histogram& step_tokens =
      all.histogram("llava_step_tokens", "Positions that a step of the engine computes",
                    {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192});
  prometheus::Histogram& step_seconds =
      all.histogram("llava_step_seconds", "Time of a step of the engine", kTokenBuckets);
  prometheus::Histogram& step_batch_size =
      all.histogram("llava_step_batch_size", "Sequences that a step of the engine computes",
                    {1, 2, 4, 8, 16, 32, 64, 128, 256});
  prometheus::Gauge& throughput = all.gauge("llava_generation_throughput_tokens_per_second",
                                            "Tokens of answers for each of the last ten seconds");
  TokenRate token_rate;

  prometheus::Family<prometheus::Counter>& images =
      all.counters("llava_images_total", "Pictures that were decoded, by origin and format");
  prometheus::Histogram& image_pixels = all.histogram(
      "llava_image_pixels", "Pixels of the pictures that were decoded", kPixelBuckets);
  prometheus::Family<prometheus::Counter>& image_failures = all.counters(
      "llava_image_failures_total", "Pictures that could not be used, by the code of the error");
  prometheus::Family<prometheus::Counter>& cache_queries =
      all.counters("llava_image_cache_queries_total",
                   "Pictures looked for among those decoded or encoded before");
  prometheus::Family<prometheus::Counter>& cache_hits =
      all.counters("llava_image_cache_hits_total", "Of those, found");
  prometheus::Histogram& image_fetch_time = all.histogram(
      "llava_image_fetch_seconds", "Getting a picture, or not, from another host", kRequestBuckets);

  prometheus::Gauge& running = all.gauge("llava_requests_running", "Requests that are computed");
  prometheus::Gauge& waiting = all.gauge("llava_requests_waiting", "Requests that wait");
  prometheus::Gauge& queued_tokens =
      all.gauge("llava_queued_tokens", "Tokens of the prompts that wait");
  prometheus::Gauge& preprocessing =
      all.gauge("llava_requests_preprocessing", "Requests whose pictures and text are prepared");
  prometheus::Gauge& grammar_waiting =
      all.gauge("llava_requests_grammar_waiting", "Requests whose grammar is compiled");
  prometheus::Gauge& kv_usage = all.gauge(
      "llava_kv_usage_ratio", "Share of the KV cache that running requests and pins hold");
  prometheus::Gauge& kv_used = all.gauge("llava_kv_tokens_used", "The same in tokens");
  prometheus::Gauge& kv_cached =
      all.gauge("llava_kv_tokens_cached", "Tokens that nobody holds and that can be used again");
  prometheus::Gauge& kv_total =
      all.gauge("llava_kv_tokens_total", "Tokens that the KV cache holds");
  prometheus::Counter& preemptions =
      all.counter("llava_preemptions_total", "Requests that had to give their pages away");
};

ServerMetrics::ServerMetrics(const std::string& model, std::string_view compat)
    : compat_(read_metrics_compat(compat)), families_(std::make_unique<Families>(model)) {}
ServerMetrics::~ServerMetrics() = default;

HttpMetrics& ServerMetrics::http() { return families_->http; }

void ServerMetrics::count_answer(const AnswerCount& answer) {
  Families& f = *families_;
  const engine::AnswerUsage& usage = answer.usage;
  f.finished.Add({{"reason", reason_label(answer.reason, answer.is_slow_client)}}).Increment();
  f.prompt_tokens.Add({{"kind", "text"}}).Increment(usage.prompt_tokens - answer.image_tokens);
  f.prompt_tokens.Add({{"kind", "image"}}).Increment(answer.image_tokens);
  f.generation_tokens.Increment(usage.completion_tokens);
  f.query_tokens.Increment(usage.prompt_tokens);
  f.hit_tokens.Increment(usage.cached_tokens);
  f.request_prompt_tokens.Observe(usage.prompt_tokens);
  f.request_generation_tokens.Observe(usage.completion_tokens);
  f.request_n.Observe(answer.num_choices);
  f.request_max_tokens.Observe(answer.max_tokens);
  f.preprocess_time.Observe(answer.preprocess_ms / 1000);
  f.queue_time.Observe(usage.queue_ms / 1000);
  f.encode_time.Observe(usage.encode_ms / 1000);
  f.prefill_time.Observe((usage.first_token_ms - usage.queue_ms - usage.encode_ms) / 1000);
  f.decode_time.Observe(usage.decode_ms / 1000);
  const double first_token_ms = answer.preprocess_ms + usage.first_token_ms;
  f.first_token.Observe(first_token_ms / 1000);
  f.end_to_end.Observe((first_token_ms + usage.decode_ms) / 1000);
  // A picture within a cached prefix needs no features either.
  f.cache_queries.Add({{"level", "encoder"}}).Increment(answer.num_images);
  f.cache_hits.Add({{"level", "encoder"}}).Increment(answer.num_images - usage.encoded_images);
  if (usage.completion_tokens > 1) {
    f.inter_token.Observe(usage.decode_ms / 1000 / (usage.completion_tokens - 1));
  }
}

void ServerMetrics::count_failed_answer(const std::string& code) {
  const bool is_timeout = code == "queue_timeout" || code == "generation_timeout";
  const bool is_known = is_timeout || code == "slow_client";
  const std::string reason = is_timeout ? "timeout" : code;
  families_->finished.Add({{"reason", is_known ? reason : "error"}}).Increment();
}

void ServerMetrics::count_step(const engine::StepRecord& step) {
  Families& f = *families_;
  f.step_tokens.Observe(step.num_tokens);
  f.step_batch_size.Observe(step.num_sequences);
  f.step_seconds.Observe(step.seconds);
  f.token_rate.add(step.num_new_tokens, TokenRate::Clock::now());
}

void ServerMetrics::count_image(const std::string& source, const std::string& format,
                                int64_t num_pixels) {
  families_->images.Add({{"source", source}, {"format", format}}).Increment();
  families_->image_pixels.Observe(static_cast<double>(num_pixels));
}

void ServerMetrics::count_image_failure(const std::string& code) {
  families_->image_failures.Add({{"code", code}}).Increment();
}

void ServerMetrics::count_decoded_lookup(bool is_hit) {
  families_->cache_queries.Add({{"level", "decode"}}).Increment();
  families_->cache_hits.Add({{"level", "decode"}}).Increment(is_hit ? 1 : 0);
}

void ServerMetrics::count_image_fetch(double seconds) {
  families_->image_fetch_time.Observe(seconds);
}

void ServerMetrics::count_error(const std::string& code) {
  families_->rejected.Add({{"code", code}}).Increment();
}

std::string ServerMetrics::scrape(const ServerMoment& moment) {
  Families& f = *families_;
  const engine::EngineStats& engine = moment.engine;
  f.http.update(moment.http, moment.is_draining);
  f.running.Set(engine.num_running);
  f.waiting.Set(engine.num_waiting);
  f.queued_tokens.Set(static_cast<double>(engine.queued_tokens));
  f.preprocessing.Set(moment.num_preparing);
  f.grammar_waiting.Set(moment.num_compiling);
  f.kv_used.Set(static_cast<double>(engine.pages_used) * engine.page_size);
  f.kv_cached.Set(static_cast<double>(engine.pages_cached) * engine.page_size);
  f.kv_total.Set(static_cast<double>(engine.pages_total) * engine.page_size);
  f.kv_usage.Set(
      engine.pages_total > 0 ? static_cast<double>(engine.pages_used) / engine.pages_total : 0);
  f.throughput.Set(f.token_rate.per_second(TokenRate::Clock::now()));
  advance(f.preemptions, static_cast<double>(engine.scheduler.preemptions));
  std::vector<prometheus::MetricFamily> all = f.http.collect();
  for (auto& family : f.all.collect()) all.push_back(std::move(family));
  const std::vector<prometheus::MetricFamily> own = all;
  for (const std::string& program : compat_) {
    for (auto& alias : metric_aliases(program, own)) all.push_back(std::move(alias));
  }
  return metrics_text(all);
}

}  // namespace llava::serve
