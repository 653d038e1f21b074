// SPDX-License-Identifier: Apache-2.0
//
// Comparing one tensor, id list or text with its reference, and the verdict as a row of a report.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llava/tensor/tensor.h"

namespace llava::engine {

enum class Verdict : uint8_t {
  kOk,
  kOkBelowTarget,  ///< within the limit of 16-bit runs, below the target of real checkpoints
  kDiffers,
  kMeasured,  ///< computed in another dtype than the reference: reported, not judged
};

/// One line of the report.
struct ComparisonRow {
  std::string name;
  Shape shape;
  Verdict verdict = Verdict::kOk;
  std::optional<double> max_abs_difference;
  std::optional<double> relative_difference;  ///< to the largest reference magnitude
  std::optional<double> tolerance;            ///< of the relative difference
  std::optional<double> min_cosine;           ///< over positions
  std::string note;                           ///< what differs, for people
};

/// How float tensors of one bundle are judged.
struct FloatRule {
  bool is_judged = true;
  /// Limit of the relative difference; with `uses_cosine` the cosine is judged instead.
  double tolerance = 1e-5;
  bool uses_cosine = false;
};

/// Smallest cosine that passes in 16-bit runs, and the one that real checkpoints should reach.
inline constexpr double kMinCosine = 0.995;
inline constexpr double kTargetCosine = 0.9999;

/// Compares float32 host tensors of equal shape row by row (rows are the last dimension). Another
/// shape, or a value that is not finite on one side only, differs.
ComparisonRow compare_floats(const std::string& name, const Tensor& ours, const Tensor& reference,
                             const FloatRule& rule);

/// Compares bit patterns.
ComparisonRow compare_exact(const std::string& name, const Tensor& ours, const Tensor& reference);

/// Compares ids up to `num_compared` positions (all and the lengths when it is negative).
/// `text_of` turns ids into text for the note.
template <class TextOf>
ComparisonRow compare_ids(const std::string& name, std::span<const int64_t> ours,
                          std::span<const int64_t> reference, int64_t num_compared,
                          const TextOf& text_of);

/// Compares strings.
ComparisonRow compare_text(const std::string& name, const std::string& ours,
                           const std::string& reference);

/// First position where the lists differ, or nothing.
std::optional<std::size_t> first_difference(std::span<const int64_t> a, std::span<const int64_t> b);

template <class TextOf>
ComparisonRow compare_ids(const std::string& name, std::span<const int64_t> ours,
                          std::span<const int64_t> reference, int64_t num_compared,
                          const TextOf& text_of) {
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
  row.note = "position " + std::to_string(*difference) + ": " + id_at(ours) + " instead of " +
             id_at(reference) + "; text around: \"" + around(ours) + "\" instead of \"" +
             around(reference) + "\"";
  const bool is_past = num_compared >= 0 && static_cast<int64_t>(*difference) >= num_compared;
  row.verdict = is_past ? Verdict::kOk : Verdict::kDiffers;
  if (is_past) row.note = "equal up to a near tie of the reference; " + row.note;
  return row;
}

}  // namespace llava::engine
