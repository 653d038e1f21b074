// SPDX-License-Identifier: Apache-2.0
#include "llava/data/check_report.h"

#include <string_view>
#include <vector>

#include "llava/core/json.h"
#include "llava/data/length_histogram.h"

namespace llava::data {
namespace {

std::string_view unit_of(const DataReport& report) {
  return report.is_in_tokens ? "tokens" : "words";
}

std::vector<Trap> traps_found(const DataReport& report) {
  std::vector<Trap> traps;
  for (std::size_t i = 0; i < kNumTraps; ++i) {
    if (report.counts[i] > 0) traps.push_back(static_cast<Trap>(i));
  }
  return traps;
}

std::string facts_text(const DataReport& report) {
  const LengthSummary lengths = summarize_lengths(report.lengths);
  std::string out = fmt::format("{}\n", report.source);
  out += fmt::format("  samples   {} ({} with pictures, {} without), {} turns\n",
                     report.num_samples, report.num_with_pictures,
                     report.num_samples - report.num_with_pictures, report.num_turns);
  if (report.num_pictures > 0) {
    out += fmt::format("  pictures  {} different files\n", report.num_pictures);
  }
  out += fmt::format("  {:<9} {} to {} a sample, median {}, mean {:.0f}, 95 % up to {}\n",
                     unit_of(report), lengths.min, lengths.max, lengths.median, lengths.mean,
                     lengths.p95);
  if (report.is_in_tokens) {
    out += fmt::format("  labels    {} of the tokens are trained\n", report.num_labels);
  }
  return out;
}

}  // namespace

std::string check_report_text(const DataReport& report) {
  std::string out = facts_text(report);
  const std::vector<Trap> traps = traps_found(report);
  if (traps.empty()) return out + "\nNo trap found.\n";
  out += "\n";
  for (const Trap trap : traps) {
    out += fmt::format("{:>8}  {:<7} {:<16} {}\n", report.count(trap),
                       report.is_error(trap) ? "error" : "warning", trap_name(trap),
                       trap_advice(trap));
  }
  std::array<int64_t, kNumTraps> shown{};
  const Finding* last = nullptr;
  const auto end_list = [&](const Finding& finding) {
    const auto number = static_cast<std::size_t>(finding.trap);
    const int64_t left = report.counts[number] - shown[number];
    if (left > 0) out += fmt::format("  ... and {} more; --all lists every one\n", left);
  };
  for (const Finding& finding : report.findings) {
    if (last == nullptr || last->trap != finding.trap) {
      if (last != nullptr) end_list(*last);
      out += fmt::format("\n{}:\n", trap_name(finding.trap));
    }
    out += fmt::format("  {}\n", finding.what);
    ++shown[static_cast<std::size_t>(finding.trap)];
    last = &finding;
  }
  if (last != nullptr) end_list(*last);
  return out;
}

nlohmann::ordered_json check_report_json(const DataReport& report) {
  const LengthSummary lengths = summarize_lengths(report.lengths);
  OrderedJson out;
  out["passes"] = report.passes();
  out["samples"] = report.num_samples;
  out["samples_with_pictures"] = report.num_with_pictures;
  out["pictures"] = report.num_pictures;
  out["turns"] = report.num_turns;
  out["lengths"] = {{"unit", unit_of(report)}, {"min", lengths.min}, {"median", lengths.median},
                    {"mean", lengths.mean},    {"p95", lengths.p95}, {"max", lengths.max}};
  const LengthBars bars = count_lengths(report.lengths, report.max_length);
  out["lengths"]["bar_width"] = bars.width;
  out["lengths"]["bars"] = bars.counts;
  if (report.is_in_tokens) {
    out["model_max_length"] = report.max_length;
    out["labels"] = report.num_labels;
  }
  out["traps"] = OrderedJson::object();
  for (std::size_t i = 0; i < kNumTraps; ++i) {
    const auto trap = static_cast<Trap>(i);
    out["traps"][std::string(trap_name(trap))] = {{"count", report.count(trap)},
                                                  {"is_error", report.is_error(trap)}};
  }
  out["findings"] = OrderedJson::array();
  for (const Finding& finding : report.findings) {
    OrderedJson item = {{"trap", trap_name(finding.trap)}};
    if (finding.index >= 0) item["sample"] = finding.index;
    item["message"] = finding.what;
    out["findings"].push_back(std::move(item));
  }
  return out;
}

std::string check_report_svg(const DataReport& report) {
  return length_histogram_svg(
      report.lengths, {.title = fmt::format("{}: {} samples", report.source, report.num_samples),
                       .unit = std::string(unit_of(report)),
                       .limit = report.max_length});
}

std::string check_report_errors(const DataReport& report) {
  std::string out;
  for (const Trap trap : traps_found(report)) {
    if (!report.is_error(trap)) continue;
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", report.count(trap), trap_name(trap));
  }
  return out;
}

}  // namespace llava::data
