// SPDX-License-Identifier: Apache-2.0
//
// What a run of load amounts to, as a table, JSON and a page.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/serve/load/load_run.h"

namespace llava::serve {

/// Milliseconds at 50, 90, 95, 99 and 100 per cent; zeros of nothing.
struct Percentiles {
  double p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};

/// Of values in milliseconds, by the nearest rank.
Percentiles percentiles_of(std::vector<double> values);

struct LoadReport {
  std::size_t num_requests = 0;
  std::size_t num_ok = 0;
  std::size_t num_broken_off = 0;
  double seconds = 0;
  double requests_per_second = 0;
  double tokens_per_second = 0;
  /// Whole answers a second that kept the times asked for (--slo-...); of an open loop, those that
  /// ended while requests still arrived, and the time until then.
  double goodput = 0;
  Percentiles first_token;  ///< from when the request should have been sent
  Percentiles between_tokens;
  Percentiles per_token;  ///< of each answer: the mean from its first token on
  Percentiles end_to_end;
  Percentiles refusal;  ///< until an answer of status 429 or 503
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t completion_tokens = 0;
  std::map<std::string, int64_t> errors;
};

LoadReport make_load_report(const LoadOptions& options, const LoadResult& result);

OrderedJson load_report_json(const LoadReport& report);
std::string load_report_table(const LoadReport& report);
/// A page that needs nothing else: the table, and how the times are distributed.
std::string load_report_html(const LoadOptions& options, const LoadReport& report,
                             const LoadResult& result);

}  // namespace llava::serve
