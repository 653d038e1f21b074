// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/parity/parity.h"

#include <algorithm>

#include "llava/engine/parity/bundle_run.h"

namespace llava::engine {

bool BundleReport::has_passed() const {
  return std::none_of(rows.begin(), rows.end(),
                      [](const ComparisonRow& row) { return row.verdict == Verdict::kDiffers; });
}

BundleReport run_parity(Context& ctx, const Pretrained& pretrained, const ReferenceBundle& bundle,
                        const ParityOptions& options) {
  return BundleRun(ctx, pretrained, bundle, options).run();
}

LoadRequest request_for_bundle(LoadRequest request, const ReferenceBundle& bundle) {
  const bool is_from_original = bundle.source.starts_with("llava ");
  if (request.dtype == "auto") request.dtype = dtype_name(bundle.dtype);
  if (request.model_base.empty() && bundle.model_base) {
    request.model_base = bundle.model_base->string();
  }
  if (request.lora.empty()) {
    request.lora = bundle.lora.value_or(is_from_original ? "merged" : "unmerged");
  }
  if (bundle.image_aspect_ratio) request.image_aspect_ratio = *bundle.image_aspect_ratio;
  request.rounds_to_float16 = is_from_original;
  return request;
}

}  // namespace llava::engine
