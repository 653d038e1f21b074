// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/load/load_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace llava::serve {
namespace {

constexpr double kMs = 1000;

/// Mean milliseconds of a token behind the first; nothing for an answer without any.
std::optional<double> ms_per_token(const LoadSample& sample) {
  if (sample.completion_tokens < 2) return std::nullopt;
  return (sample.end - sample.first_token) * kMs /
         static_cast<double>(sample.completion_tokens - 1);
}

/// Whether an answer kept the times that were asked for.
bool is_good(const LoadOptions& options, const LoadSample& sample) {
  if (!sample.is_ok()) return false;
  const double first = (sample.first_token - sample.intended) * kMs;
  if (options.slo_first_token_ms > 0 && first > options.slo_first_token_ms) return false;
  return options.slo_token_ms == 0 || ms_per_token(sample).value_or(0) <= options.slo_token_ms;
}

OrderedJson percentiles_json(const Percentiles& p) {
  return {{"p50", p.p50}, {"p90", p.p90}, {"p95", p.p95}, {"p99", p.p99}, {"max", p.max}};
}

std::string row(const char* name, const Percentiles& p) {
  return fmt::format("{:<24}{:>10.1f}{:>10.1f}{:>10.1f}{:>10.1f}{:>10.1f}\n", name, p.p50, p.p90,
                     p.p95, p.p99, p.max);
}

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

/// The share of answers against the time they took, as a picture.
std::string distribution_svg(const std::string& title, std::vector<double> values) {
  constexpr int kWidth = 640;
  constexpr int kHeight = 200;
  if (values.empty()) return {};
  std::ranges::sort(values);
  const double longest = std::max(values.back(), 1e-9);
  std::string points;
  const std::size_t step = std::max<std::size_t>(1, values.size() / 400);
  for (std::size_t i = 0; i < values.size(); i += step) {
    points += fmt::format(
        "{:.1f},{:.1f} ", values[i] / longest * kWidth,
        kHeight - static_cast<double>(i + 1) / static_cast<double>(values.size()) * kHeight);
  }
  points += fmt::format("{},0", kWidth);
  return fmt::format(
      "<figure><figcaption>{}: share of answers up to {:.1f} ms</figcaption>"
      "<svg viewBox=\"-2 -2 {} {}\" role=\"img\" aria-label=\"{}\">"
      "<rect width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#999\"/>"
      "<polyline points=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/></svg></figure>\n",
      title, longest, kWidth + 4, kHeight + 4, title, kWidth, kHeight, points);
}

}  // namespace

Percentiles percentiles_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double share) {
    const double rank = std::ceil(share * static_cast<double>(values.size()));
    return values[static_cast<std::size_t>(std::max(1.0, rank)) - 1];
  };
  return {.p50 = at(0.50), .p90 = at(0.90), .p95 = at(0.95), .p99 = at(0.99), .max = values.back()};
}

LoadReport make_load_report(const LoadOptions& options, const LoadResult& result) {
  LoadReport report;
  const bool is_open = options.rate > 0 || !options.replay.empty();
  double good_seconds = result.seconds;
  if (is_open && !result.samples.empty()) {
    good_seconds = std::ranges::max_element(result.samples, {}, &LoadSample::intended)->intended;
  }
  std::vector<double> first, between, per_token, whole, refusals;
  std::size_t num_good = 0;
  for (const LoadSample& sample : result.samples) {
    ++report.num_requests;
    const double time = (sample.end - sample.intended) * kMs;
    if (sample.status == 429 || sample.status == 503) refusals.push_back(time);
    if (!sample.error.empty()) ++report.errors[sample.error];
    if (sample.is_broken_off) ++report.num_broken_off;
    if (sample.first_token >= 0) first.push_back((sample.first_token - sample.intended) * kMs);
    for (const float gap : sample.gaps) between.push_back(gap * kMs);
    report.completion_tokens += sample.completion_tokens;
    report.prompt_tokens += sample.prompt_tokens;
    report.cached_tokens += sample.cached_tokens;
    if (!sample.is_ok()) continue;
    ++report.num_ok;
    whole.push_back(time);
    if (const auto mean = ms_per_token(sample)) per_token.push_back(*mean);
    if (is_good(options, sample) && sample.end <= good_seconds) ++num_good;
  }
  report.seconds = result.seconds;
  const double seconds = std::max(result.seconds, 1e-9);
  report.requests_per_second = static_cast<double>(report.num_ok) / seconds;
  report.tokens_per_second = static_cast<double>(report.completion_tokens) / seconds;
  report.goodput = static_cast<double>(num_good) / std::max(good_seconds, 1e-9);
  report.first_token = percentiles_of(std::move(first));
  report.between_tokens = percentiles_of(std::move(between));
  report.per_token = percentiles_of(std::move(per_token));
  report.end_to_end = percentiles_of(std::move(whole));
  report.refusal = percentiles_of(std::move(refusals));
  return report;
}

OrderedJson load_report_json(const LoadReport& report) {
  OrderedJson json;
  json["requests"] = report.num_requests;
  json["ok"] = report.num_ok;
  json["broken_off"] = report.num_broken_off;
  json["seconds"] = report.seconds;
  json["requests_per_second"] = report.requests_per_second;
  json["tokens_per_second"] = report.tokens_per_second;
  json["goodput"] = report.goodput;
  json["first_token_ms"] = percentiles_json(report.first_token);
  json["between_tokens_ms"] = percentiles_json(report.between_tokens);
  json["per_token_ms"] = percentiles_json(report.per_token);
  json["end_to_end_ms"] = percentiles_json(report.end_to_end);
  json["refusal_ms"] = percentiles_json(report.refusal);
  json["prompt_tokens"] = report.prompt_tokens;
  json["cached_tokens"] = report.cached_tokens;
  json["completion_tokens"] = report.completion_tokens;
  json["errors"] = report.errors;
  return json;
}

std::string load_report_table(const LoadReport& report) {
  std::string text = fmt::format(
      "{} requests in {:.1f} s: {} whole, {} broken off, {} failed\n"
      "{:.2f} requests/s, {:.1f} tokens/s, goodput {:.2f}/s\n"
      "{} prompt tokens, {} of them cached; {} tokens answered\n\n"
      "{:<24}{:>10}{:>10}{:>10}{:>10}{:>10}\n",
      report.num_requests, report.seconds, report.num_ok, report.num_broken_off,
      report.num_requests - report.num_ok - report.num_broken_off, report.requests_per_second,
      report.tokens_per_second, report.goodput, report.prompt_tokens, report.cached_tokens,
      report.completion_tokens, "milliseconds", "50 %", "90 %", "95 %", "99 %", "100 %");
  text += row("first token", report.first_token);
  text += row("between tokens", report.between_tokens);
  text += row("per token", report.per_token);
  text += row("end to end", report.end_to_end);
  if (report.refusal.max > 0) text += row("refusal", report.refusal);
  for (const auto& [code, count] : report.errors) text += fmt::format("{:>6} x {}\n", count, code);
  return text;
}

std::string load_report_html(const LoadOptions& options, const LoadReport& report,
                             const LoadResult& result) {
  std::vector<double> first, whole;
  for (const LoadSample& sample : result.samples) {
    if (sample.first_token >= 0) first.push_back((sample.first_token - sample.intended) * kMs);
    if (sample.is_ok()) whole.push_back((sample.end - sample.intended) * kMs);
  }
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Load on {0}</title>\n"
      "<style>body{{font:16px sans-serif;max-width:45em;margin:2em auto}}"
      "pre{{background:#f4f4f4;padding:1em;overflow:auto}}</style>\n"
      "<h1>Load on {0}</h1>\n<pre>{1}</pre>\n{2}{3}</html>\n",
      escape_html(options.url), escape_html(load_report_table(report)),
      distribution_svg("First token", std::move(first)),
      distribution_svg("End to end", std::move(whole)));
}

}  // namespace llava::serve
