// SPDX-License-Identifier: Apache-2.0
//
// MetricFamilies: the numbers of one server, and how they are written for Prometheus.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <map>
#include <string>
#include <vector>

namespace llava::serve {

using MetricLabels = std::map<std::string, std::string>;
using MetricBuckets = prometheus::Histogram::BucketBoundaries;

/// Upper bounds in seconds; vLLM's, so that dashboards carry over.
extern const MetricBuckets kFirstTokenBuckets;
extern const MetricBuckets kTokenBuckets;
extern const MetricBuckets kRequestBuckets;
/// Upper bounds of numbers of tokens, 1 to 200000 in steps of 1, 2 and 5.
extern const MetricBuckets kCountBuckets;

/// A registry whose numbers all carry the same labels, with names and help as they are added.
///
/// Threads: safe.
class MetricFamilies {
 public:
  explicit MetricFamilies(MetricLabels labels = {}) : labels_(std::move(labels)) {}

  prometheus::Gauge& gauge(const std::string& name, const std::string& help);
  prometheus::Counter& counter(const std::string& name, const std::string& help);
  prometheus::Histogram& histogram(const std::string& name, const std::string& help,
                                   const MetricBuckets& buckets);

  /// Families whose members have labels of their own beside the registry's.
  prometheus::Family<prometheus::Gauge>& gauges(const std::string& name, const std::string& help);
  prometheus::Family<prometheus::Counter>& counters(const std::string& name,
                                                    const std::string& help);
  prometheus::Family<prometheus::Histogram>& histograms(const std::string& name,
                                                        const std::string& help);

  std::vector<prometheus::MetricFamily> collect() const { return registry_.Collect(); }

 private:
  const MetricLabels labels_;
  prometheus::Registry registry_;
};

/// Sets a counter to what is counted elsewhere; it never falls.
void advance(prometheus::Counter& counter, double total);

/// The text format 0.0.4, and its media type.
std::string metrics_text(const std::vector<prometheus::MetricFamily>& families);
inline constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace llava::serve
