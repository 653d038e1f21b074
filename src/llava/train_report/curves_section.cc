// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "llava/train_report/chart.h"
#include "llava/train_report/number_text.h"
#include "llava/train_report/page_sections.h"

namespace llava::train_report {
namespace {

std::vector<Point> points_of(const RunLog& log, double ReportedStep::*value) {
  std::vector<Point> points;
  points.reserve(log.steps().size());
  for (const ReportedStep& step : log.steps()) {
    points.push_back({static_cast<double>(step.step), step.*value});
  }
  return points;
}

// A fiftieth of the run, so that the mean is smooth and still moves; 0 where there is nothing to
// smooth.
std::size_t mean_window(std::size_t num_points) {
  if (num_points < 10) return 0;
  return std::clamp<std::size_t>(num_points / 50, 5, 100);
}

std::string loss_chart(const RunLog& log) {
  std::vector<Point> losses = points_of(log, &ReportedStep::loss);
  const std::size_t window = mean_window(losses.size());
  std::vector<Curve> curves;
  if (window > 0) {
    curves.push_back({"reported", "faint", losses});
    curves.push_back({fmt::format("mean of the last {} reports", window), "first",
                      running_mean(losses, window)});
  } else {
    curves.push_back({"reported", "first", std::move(losses), true});
  }
  return line_chart({.title = "Loss", .x_label = "step", .y_label = "nats per trained token"},
                    curves);
}

std::string evaluation_chart(const RunLog& log) {
  Curve curve{.name = "held-out data", .css_class = "second", .has_marks = true};
  for (const Evaluation& evaluation : log.evaluations()) {
    curve.points.push_back({static_cast<double>(evaluation.step), evaluation.loss});
  }
  curve.has_marks = curve.points.size() <= 100;
  return line_chart(
      {.title = "Evaluation loss", .x_label = "step", .y_label = "nats per trained token"},
      {curve});
}

std::string plain_chart(const RunLog& log, const ChartText& text, const std::string& name,
                        double ReportedStep::*value) {
  return line_chart(text, {{name, "first", points_of(log, value)}});
}

}  // namespace

std::string curves_section(const RunFolder& run) {
  const RunLog& log = run.log;
  std::string charts = loss_chart(log) + evaluation_chart(log);
  charts += plain_chart(
      log, {.title = "Learning rate", .x_label = "step", .y_label = "rate", .starts_at_zero = true},
      "first group of parameters", &ReportedStep::learning_rate);
  charts += plain_chart(
      log,
      {.title = "Gradient norm", .x_label = "step", .y_label = "norm (L2)", .starts_at_zero = true},
      "before clipping", &ReportedStep::gradient_norm);
  charts += plain_chart(
      log,
      {.title = "Speed", .x_label = "step", .y_label = "tokens per second", .starts_at_zero = true},
      "pictures' positions included", &ReportedStep::tokens_per_second);
  if (charts.empty()) return {};
  const RunTotals totals = sum_up(log);
  std::string note;
  if (totals.bad_losses > 0) {
    note = fmt::format(
        "<p>Reports whose loss is no finite number: {}; the curves have gaps there.</p>\n",
        count_text(totals.bad_losses));
  }
  return note + "<div class=\"charts\">\n" + charts + "</div>\n";
}

}  // namespace llava::train_report
