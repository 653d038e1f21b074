// SPDX-License-Identifier: Apache-2.0
//
// Results of `llava bench` as a table and as JSON.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "llava/core/memory_use.h"
#include "llava/engine/bench/bench_check.h"
#include "llava/engine/bench/workload.h"

namespace llava::engine {

/// Smallest, middle and largest of some times.
struct BenchSpread {
  double min = 0, median = 0, max = 0;
};

/// Throws: Error(kInternal) without values.
BenchSpread spread_of(std::vector<double> values);

/// One case and all its samples.
struct BenchResult {
  BenchCase bench_case;
  std::vector<double> ms;
  std::vector<double> encode_ms;  ///< questions only

  void add(const BenchSample& sample);
};

/// Everything that was measured and on what.
struct BenchReport {
  /// Facts in the order of the table: model, forms, kernels, threads.
  std::vector<std::pair<std::string, std::string>> facts;
  int64_t num_parameters = 0;
  int64_t weight_bytes = 0;
  double load_ms = 0;
  std::vector<BenchCheck> checks;
  std::vector<BenchResult> results;
  MemoryUse memory;
};

std::string bench_table(const BenchReport& report);
/// One JSON object on one line. Times are milliseconds; rates are tokens a second at the median.
std::string bench_json(const BenchReport& report);
/// One sample on one line, as llama.cpp's driver in bench/compare writes it.
std::string bench_json(const BenchSample& sample);

}  // namespace llava::engine
