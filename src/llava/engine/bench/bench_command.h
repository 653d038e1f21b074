// SPDX-License-Identifier: Apache-2.0
//
// The commands of `llava bench --cases -`, by which another program measures this one sample by
// sample, in alternation with others (bench/compare/run).
#pragma once

#include <string>
#include <string_view>

#include "llava/engine/bench/workload.h"

namespace llava::engine {

/// Runs one command and answers with one line of JSON:
///
///     prefill:512, decode:64, ...   a case, once: {"ms": [...]}
///     greedy:8:1,529,77             the 8 most likely tokens after ids: {"ids": [...]}
///     preprocess:photo.jpg          a picture file to pixel values of 336 x 336, as CLIP's
///     processor
///                                   does: {"ms": [...], "sha256": of the values}
///     memory                        {"bytes": ..., "peak_bytes": ...}
///
/// `num_threads` is for pictures; the workload has its own.
///
/// Throws: Error(kInvalidArgument) for anything else, and what Workload::run throws.
std::string run_bench_command(Workload& workload, std::string_view command, int num_threads);

}  // namespace llava::engine
