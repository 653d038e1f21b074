// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/metrics/metric_families.h"

#include <prometheus/text_serializer.h>

namespace llava::serve {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

const MetricBuckets kFirstTokenBuckets = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                          0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                          20,    40,    80,   160,  640,  2560};
const MetricBuckets kTokenBuckets = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                     0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
const MetricBuckets kRequestBuckets = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                       30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
const MetricBuckets kCountBuckets = {1,   2,    5,    10,  20,    50,    100, 200,   500,
                                     1e3, 2000, 5000, 1e4, 20000, 50000, 1e5, 200000};

prometheus::Gauge& MetricFamilies::gauge(const std::string& name, const std::string& help) {
  return gauges(name, help).Add({});
}

prometheus::Counter& MetricFamilies::counter(const std::string& name, const std::string& help) {
  return counters(name, help).Add({});
}

prometheus::Histogram& MetricFamilies::histogram(const std::string& name, const std::string& help,
                                                 const MetricBuckets& buckets) {
  return histograms(name, help).Add({}, buckets);
}

prometheus::Family<prometheus::Gauge>& MetricFamilies::gauges(const std::string& name,
                                                              const std::string& help) {
  return BuildGauge().Name(name).Help(help).Labels(labels_).Register(registry_);
}

prometheus::Family<prometheus::Counter>& MetricFamilies::counters(const std::string& name,
                                                                  const std::string& help) {
  return BuildCounter().Name(name).Help(help).Labels(labels_).Register(registry_);
}

prometheus::Family<prometheus::Histogram>& MetricFamilies::histograms(const std::string& name,
                                                                      const std::string& help) {
  return BuildHistogram().Name(name).Help(help).Labels(labels_).Register(registry_);
}

void advance(prometheus::Counter& counter, double total) {
  const double step = total - counter.Value();
  if (step > 0) counter.Increment(step);
}

std::string metrics_text(const std::vector<prometheus::MetricFamily>& families) {
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace llava::serve
