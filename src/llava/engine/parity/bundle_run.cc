// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parity/bundle_run.h"

#include <algorithm>
#include <cmath>

namespace llava::engine {

double near_tie_margin(DType dtype) { return dtype == DType::kBFloat16 ? 0.25 : 0.05; }

float top_margin(std::span<const float> logits) {
  float best = -INFINITY, second = -INFINITY;
  for (const float value : logits) {
    if (value > best) {
      second = best;
      best = value;
    } else if (value > second) {
      second = value;
    }
  }
  return best - second;
}

BundleRun::BundleRun(Context& ctx, const Pretrained& pretrained, const ReferenceBundle& bundle,
                     const ParityOptions& options)
    : ctx_(ctx),
      pretrained_(pretrained),
      bundle_(bundle),
      options_(options),
      is_judged_(pretrained.model->dtype() == bundle.dtype),
      is_float32_(bundle.dtype == DType::kFloat32) {}

BundleReport BundleRun::run() {
  using Stage = void (BundleRun::*)();
  constexpr Stage kStages[] = {&BundleRun::check_prompt,     &BundleRun::check_pixels,
                               &BundleRun::check_vision,     &BundleRun::check_decoder,
                               &BundleRun::check_generation, &BundleRun::check_labels};
  for (const Stage stage : kStages) {
    (this->*stage)();
    if (options_.stops_at_first && !report_.has_passed()) {
      drop_rows_after_first_failure();
      break;
    }
  }
  return std::move(report_);
}

void BundleRun::drop_rows_after_first_failure() {
  const auto first =
      std::find_if(report_.rows.begin(), report_.rows.end(),
                   [](const ComparisonRow& row) { return row.verdict == Verdict::kDiffers; });
  report_.rows.erase(first + 1, report_.rows.end());
}

FloatRule BundleRun::rule(double tolerance) const {
  return {.is_judged = is_judged_, .tolerance = tolerance, .uses_cosine = !is_float32_};
}

Tensor BundleRun::host(const Tensor& x) { return host_to_float32(ops::to_host(ctx_, x)); }

Tensor BundleRun::device(const Tensor& reference, DType dtype) {
  return ops::cast(ctx_, ops::from_host(ctx_, reference), dtype);
}

// The bundle's tensor that an isolated stage starts from. One of another shape cannot be computed
// with; the comparison of that tensor itself reports it.
std::optional<Tensor> BundleRun::given(const std::string& name, const Shape& shape) const {
  if (!options_.is_isolated || !bundle_.has(name)) return std::nullopt;
  Tensor tensor = bundle_.floats(name);
  if (tensor.shape() != shape) return std::nullopt;
  return tensor;
}

}  // namespace llava::engine
