// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parity/comparison.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

namespace llava::engine {
namespace {

bool has_other_shape(ComparisonRow& row, const Tensor& ours, const Tensor& reference) {
  row.shape = reference.shape();
  if (ours.shape() == reference.shape()) return false;
  row.verdict = Verdict::kDiffers;
  row.note = "our shape is " + to_text(ours.shape());
  return true;
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0, norm_a = 0, norm_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    dot += x * y;
    norm_a += x * x;
    norm_b += y * y;
  }
  if (norm_a == 0 && norm_b == 0) return 1;
  return norm_a == 0 || norm_b == 0 ? 0 : dot / std::sqrt(norm_a * norm_b);
}

}  // namespace

std::optional<std::size_t> first_difference(std::span<const int64_t> a,
                                            std::span<const int64_t> b) {
  const std::size_t common = std::min(a.size(), b.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (a[i] != b[i]) return i;
  }
  return a.size() == b.size() ? std::nullopt : std::optional(common);
}

ComparisonRow compare_floats(const std::string& name, const Tensor& ours, const Tensor& reference,
                             const FloatRule& rule) {
  ComparisonRow row;
  row.name = name;
  if (has_other_shape(row, ours, reference)) return row;
  const auto a = ours.data<float>();
  const auto b = reference.data<float>();
  double max_difference = 0, max_magnitude = 0;
  bool is_finite = true;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isfinite(a[i]) != std::isfinite(b[i])) is_finite = false;
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) continue;
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    max_difference = std::max(max_difference, std::fabs(x - y));
    max_magnitude = std::max(max_magnitude, std::fabs(y));
  }
  const auto width =
      static_cast<std::size_t>(reference.rank() == 0 ? 1 : std::max<int64_t>(1, reference.dim(-1)));
  double min_cosine = 1;
  for (std::size_t begin = 0; begin + width <= a.size(); begin += width) {
    min_cosine = std::min(min_cosine, cosine(a.subspan(begin, width), b.subspan(begin, width)));
  }
  row.max_abs_difference = max_difference;
  row.relative_difference = max_magnitude > 0 ? max_difference / max_magnitude : max_difference;
  row.min_cosine = min_cosine;
  if (!is_finite) {
    row.verdict = Verdict::kDiffers;
    row.note = "a value is not finite on one side only";
  } else if (!rule.is_judged) {
    row.verdict = Verdict::kMeasured;
  } else if (rule.uses_cosine) {
    row.tolerance = kMinCosine;
    row.verdict = min_cosine < kMinCosine      ? Verdict::kDiffers
                  : min_cosine < kTargetCosine ? Verdict::kOkBelowTarget
                                               : Verdict::kOk;
  } else {
    row.tolerance = rule.tolerance;
    row.verdict = *row.relative_difference <= rule.tolerance ? Verdict::kOk : Verdict::kDiffers;
  }
  return row;
}

ComparisonRow compare_exact(const std::string& name, const Tensor& ours, const Tensor& reference) {
  ComparisonRow row;
  row.name = name;
  if (has_other_shape(row, ours, reference)) return row;
  const auto a = ours.data<float>();
  const auto b = reference.data<float>();
  double max_difference = 0;
  std::size_t num_different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) == 0) continue;
    ++num_different;
    max_difference =
        std::max(max_difference, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  row.max_abs_difference = max_difference;
  row.tolerance = 0;
  if (num_different > 0) {
    row.verdict = Verdict::kDiffers;
    row.note = std::to_string(num_different) + " of " + std::to_string(a.size()) +
               " values differ in their bits";
  }
  return row;
}

ComparisonRow compare_ids(const std::string& name, std::span<const int64_t> ours,
                          std::span<const int64_t> reference, int64_t num_compared,
                          const std::function<std::string(std::span<const int64_t>)>& text_of) {
  ComparisonRow row;
  row.name = name;
  row.shape = {static_cast<int64_t>(reference.size())};
  const auto difference = first_difference(ours, reference);
  if (!difference) return row;
  const auto around = [&](std::span<const int64_t> ids) {
    const std::size_t begin = *difference < 3 ? 0 : *difference - 3;
    const std::size_t end = std::min(ids.size(), *difference + 4);
    return begin < end ? text_of(ids.subspan(begin, end - begin)) : std::string();
  };
  const auto id_at = [&](std::span<const int64_t> ids) {
    return *difference < ids.size() ? std::to_string(ids[*difference]) : std::string("the end");
  };
  row.note =
      fmt::format("position {}: {} instead of {}; text around: \"{}\" instead of \"{}\"",
                  *difference, id_at(ours), id_at(reference), around(ours), around(reference));
  const bool is_past = num_compared >= 0 && static_cast<int64_t>(*difference) >= num_compared;
  row.verdict = is_past ? Verdict::kOk : Verdict::kDiffers;
  if (is_past) row.note = "equal up to a near tie of the reference; " + row.note;
  return row;
}

ComparisonRow compare_text(const std::string& name, const std::string& ours,
                           const std::string& reference) {
  ComparisonRow row;
  row.name = name;
  row.shape = {static_cast<int64_t>(reference.size())};
  if (ours == reference) return row;
  const auto [a, b] = std::mismatch(ours.begin(), ours.end(), reference.begin(), reference.end());
  const auto at = static_cast<std::size_t>(a - ours.begin());
  row.verdict = Verdict::kDiffers;
  row.note = "byte " + std::to_string(at) + ": \"" + ours.substr(at, 40) + "\" instead of \"" +
             reference.substr(at, 40) + "\"";
  return row;
}

}  // namespace llava::engine
