// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string>
#include <vector>

#include "llava/train_report/chart.h"
#include "llava/train_report/html_text.h"
#include "llava/train_report/json_lines.h"
#include "llava/train_report/number_text.h"
#include "llava/train_report/page_sections.h"

namespace llava::train_report {
namespace {

// As many as `llava data check` makes, with room to spare; more would be no histogram of ours.
constexpr std::size_t kMostBars = 1000;

std::string trained_facts(const RunFolder& run) {
  const RunTotals totals = sum_up(run.log);
  if (totals.tokens == 0 && totals.samples == 0) return {};
  std::string facts;
  facts += fact("Samples trained on", count_text(totals.samples));
  facts += fact("Different ones", count_text(totals.different_samples));
  facts += fact("Tokens", count_text(totals.tokens));
  facts += fact("Trained tokens", fmt::format("{} ({})", count_text(totals.label_tokens),
                                              share_text(totals.label_tokens, totals.tokens)));
  facts += fact("Samples without a trained token", count_text(totals.ignored_samples));
  facts += fact("Updates skipped", count_text(totals.skipped_steps));
  return "<h3>In the steps so far</h3>\n<dl class=\"facts\">\n" + facts + "</dl>\n";
}

const Json& member(const Json& object, const char* key) {
  static const Json kNone = Json::object();
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : kNone;
}

std::string trap_rows(const Json& traps) {
  std::string rows;
  for (const auto& [name, trap] : traps.items()) {
    if (!trap.is_object() || count_of(trap, "count") == 0) continue;
    const auto is_error = trap.find("is_error");
    const bool fails = is_error != trap.end() && is_error->is_boolean() && is_error->get<bool>();
    rows += fmt::format("<tr><td>{}</td><td class=\"number\">{}</td><td>{}</td></tr>\n",
                        escape_html(name), count_text(count_of(trap, "count")),
                        fails ? "error" : "warning");
  }
  return rows;
}

std::string histogram(const Json& report) {
  const Json& lengths = member(report, "lengths");
  const auto bars = lengths.find("bars");
  if (bars == lengths.end() || !bars->is_array() || bars->size() > kMostBars) return {};
  std::vector<double> counts;
  for (const Json& count : *bars) {
    const auto number = whole_number(count);
    if (!number) return {};
    counts.push_back(static_cast<double>(*number));
  }
  return bar_chart({.title = "Lengths of the samples",
                    .x_label = text_of(lengths, "unit") + " of a sample",
                    .y_label = "samples"},
                   counts, static_cast<double>(count_of(lengths, "bar_width")),
                   static_cast<double>(count_of(report, "model_max_length")));
}

std::string check_facts(const Json& report) {
  const uint64_t samples = count_of(report, "samples");
  const uint64_t with_pictures = count_of(report, "samples_with_pictures");
  std::string facts;
  facts += fact("Samples", fmt::format("{} ({} with pictures)", count_text(samples),
                                       count_text(with_pictures)));
  facts += fact("Different pictures", count_text(count_of(report, "pictures")));
  facts += fact("Turns", count_text(count_of(report, "turns")));
  if (report.contains("labels")) {
    facts += fact("Trained tokens of an epoch", count_text(count_of(report, "labels")));
  }
  const Json& lengths = member(report, "lengths");
  facts +=
      fact("Length of a sample (" + text_of(lengths, "unit") + ")",
           fmt::format(
               "{} to {}, median {}, mean {}, 95 % up to {}", count_text(count_of(lengths, "min")),
               count_text(count_of(lengths, "max")), count_text(count_of(lengths, "median")),
               number_text(number_of(lengths, "mean")), count_text(count_of(lengths, "p95"))));
  const Json& traps = member(report, "traps");
  facts += fact("Untrained samples", count_text(count_of(member(traps, "untrained"), "count")));
  facts += fact("Cut samples", count_text(count_of(member(traps, "cut"), "count")));
  return "<dl class=\"facts\">\n" + facts + "</dl>\n";
}

std::string findings(const Json& report) {
  const auto found = report.find("findings");
  if (found == report.end() || !found->is_array() || found->empty()) return {};
  std::string items;
  for (const Json& finding : *found) {
    if (!finding.is_object()) continue;
    items += fmt::format("<li>{}: {}</li>\n", escape_html(text_of(finding, "trap")),
                         escape_html(text_of(finding, "message")));
  }
  return "<h3>Samples in traps, the first of each</h3>\n<ul class=\"flags\">\n" + items + "</ul>\n";
}

}  // namespace

std::string data_section(const RunFolder& run) {
  std::string out = trained_facts(run);
  const Json& report = run.data_check;
  if (!report.is_object()) return out;
  out += "<h3>In the training file</h3>\n" + check_facts(report) + "<div class=\"charts\">\n" +
         histogram(report) + "</div>\n";
  const std::string rows = trap_rows(member(report, "traps"));
  if (rows.empty()) return out + "<p>No trap was found.</p>\n";
  out +=
      "<h3>Traps</h3>\n<div class=\"scroll\"><table>\n<thead><tr><th>trap</th><th "
      "class=\"number\">samples</th><th>kind</th></tr></thead>\n<tbody>\n" +
      rows + "</tbody></table></div>\n";
  return out + findings(report);
}

}  // namespace llava::train_report
