// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/bench_report.h"

#include <algorithm>
#include <iterator>

#include "llava/core/check.h"
#include "llava/core/json.h"

namespace llava::engine {
namespace {

double rate_of(const BenchResult& result, const BenchSpread& spread) {
  return 1000.0 * result.bench_case.tokens_per_time() / spread.median;
}

double gigabytes(int64_t bytes) { return static_cast<double>(bytes) / 1e9; }

OrderedJson to_json(const BenchResult& result) {
  const BenchSpread spread = spread_of(result.ms);
  OrderedJson json;
  json["case"] = bench_case_name(result.bench_case);
  json["min_ms"] = spread.min;
  json["median_ms"] = spread.median;
  json["max_ms"] = spread.max;
  if (result.bench_case.tokens_per_time() > 0) json["tokens_per_second"] = rate_of(result, spread);
  if (!result.encode_ms.empty()) json["encode_median_ms"] = spread_of(result.encode_ms).median;
  json["ms"] = result.ms;
  return json;
}

}  // namespace

BenchSpread spread_of(std::vector<double> values) {
  LLAVA_CHECK(!values.empty());
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {.min = values.front(), .median = median, .max = values.back()};
}

void BenchResult::add(const BenchSample& sample) {
  ms.insert(ms.end(), sample.ms.begin(), sample.ms.end());
  if (bench_case.is_question()) encode_ms.push_back(sample.encode_ms);
}

std::string bench_table(const BenchReport& report) {
  std::string text;
  const auto line = std::back_inserter(text);
  for (const auto& [key, value] : report.facts) fmt::format_to(line, "{:<12} {}\n", key, value);
  fmt::format_to(
      line, "{:<12} {:.3f} G in {:.3f} GB ({:.2f} bits each)\n", "parameters",
      static_cast<double>(report.num_parameters) / 1e9, gigabytes(report.weight_bytes),
      8.0 * static_cast<double>(report.weight_bytes) / static_cast<double>(report.num_parameters));
  fmt::format_to(line, "{:<12} {:.1f} ms\n", "load", report.load_ms);
  for (const BenchCheck& check : report.checks) {
    fmt::format_to(line, "{:<12} {}: {}\n", "check", check.name,
                   check.difference == 0 ? "exactly" : fmt::format("to {:.2g}", check.difference));
  }
  fmt::format_to(line, "\n{:<18} {:>10} {:>10} {:>10}   {:>10}   {}\n", "case", "min ms", "median",
                 "max", "tokens/s", "samples");
  for (const BenchResult& result : report.results) {
    const BenchSpread spread = spread_of(result.ms);
    const std::string rate = result.bench_case.tokens_per_time() > 0
                                 ? fmt::format("{:.1f}", rate_of(result, spread))
                                 : "-";
    fmt::format_to(line, "{:<18} {:>10.2f} {:>10.2f} {:>10.2f}   {:>10}   {}\n",
                   bench_case_name(result.bench_case), spread.min, spread.median, spread.max, rate,
                   result.ms.size());
  }
  fmt::format_to(line, "\npeak memory  {:.3f} GB\n", gigabytes(report.memory.peak_bytes));
  return text;
}

std::string bench_json(const BenchReport& report) {
  OrderedJson json;
  for (const auto& [key, value] : report.facts) json[key] = value;
  json["num_parameters"] = report.num_parameters;
  json["weight_bytes"] = report.weight_bytes;
  json["load_ms"] = report.load_ms;
  json["checks"] = OrderedJson::array();
  for (const BenchCheck& check : report.checks) {
    json["checks"].push_back({{"name", check.name}, {"difference", check.difference}});
  }
  json["cases"] = OrderedJson::array();
  for (const BenchResult& result : report.results) json["cases"].push_back(to_json(result));
  json["memory"] = {{"bytes", report.memory.bytes}, {"peak_bytes", report.memory.peak_bytes}};
  return to_text(json);
}

std::string bench_json(const BenchSample& sample) {
  OrderedJson json;
  json["ms"] = sample.ms;
  if (sample.encode_ms > 0) json["encode_ms"] = sample.encode_ms;
  return to_text(json);
}

}  // namespace llava::engine
