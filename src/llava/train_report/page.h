// SPDX-License-Identifier: Apache-2.0
//
// The report of a training run: one HTML page that needs nothing else, runs no script and asks no
// server for anything.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/train_report/run_folder.h"

namespace llava::train_report {

/// A flag of `llava train`, in the order of its help.
struct KnownFlag {
  std::string name;  ///< as in training_args.json: "learning-rate"
  Json default_value;
};

struct PageOptions {
  std::vector<KnownFlag> flags;
  /// Questions whose answers are shown, the first ones; the page says how many are not.
  std::size_t max_samples = 50;
};

/// The page: summary, curves, configuration, data, checkpoints, sample predictions. Everything from
/// the run's files is escaped; a content policy forbids all but the page's own style and pictures.
/// Pictures that cannot be read are named in their place.
///
/// Throws: Error(kResourceExhausted).   Threads: safe.
std::string make_page(const RunFolder& run, const PageOptions& options);

}  // namespace llava::train_report
