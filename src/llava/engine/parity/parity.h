// SPDX-License-Identifier: Apache-2.0
//
// Recomputes a reference bundle and compares, stage by stage.
#pragma once

#include <string>
#include <vector>

#include "llava/engine/parity/comparison.h"
#include "llava/engine/parity/reference_bundle.h"
#include "llava/engine/pretrained.h"

namespace llava::engine {

/// How a bundle is run.
struct ParityOptions {
  /// Each stage starts from the bundle's tensor before it, so that later stages are not blamed for
  /// an earlier one.
  bool is_isolated = false;
  bool stops_at_first = false;
};

/// The verdict on one bundle.
struct BundleReport {
  std::vector<ComparisonRow> rows;

  bool has_passed() const;
};

/// Runs one bundle on an open checkpoint.
///
/// Stages: prompt, input_ids, pixel_values, vision_hidden, image_features, inputs_embeds, hidden,
/// logits, generated_ids, labels, loss; each only where the bundle has it.
/// Threads: one thread at a time.
BundleReport run_parity(Context& ctx, const Pretrained& pretrained, const ReferenceBundle& bundle,
                        const ParityOptions& options);

/// The checkpoint a bundle needs: the request with what the bundle says (dtype, base, adapters, the
/// original's rounding), where the request itself says nothing (an empty `lora` is unset).
LoadRequest request_for_bundle(LoadRequest request, const ReferenceBundle& bundle);

}  // namespace llava::engine
