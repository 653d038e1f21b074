// SPDX-License-Identifier: Apache-2.0
//
// Comparing one tensor, id list or text with its reference, and the verdict as a row of a report.
#pragma once

#include <cstdint>
#include <functional>
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
ComparisonRow compare_ids(const std::string& name, std::span<const int64_t> ours,
                          std::span<const int64_t> reference, int64_t num_compared,
                          const std::function<std::string(std::span<const int64_t>)>& text_of);

/// Compares strings.
ComparisonRow compare_text(const std::string& name, const std::string& ours,
                           const std::string& reference);

/// First position where the lists differ, or nothing.
std::optional<std::size_t> first_difference(std::span<const int64_t> a, std::span<const int64_t> b);

}  // namespace llava::engine
