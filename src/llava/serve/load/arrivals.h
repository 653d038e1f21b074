// SPDX-License-Identifier: Apache-2.0
//
// When the conversations of an open loop begin.
#pragma once

#include <vector>

#include "llava/serve/load/load_options.h"

namespace llava::serve {

/// Seconds from the start, ascending: by rate and process, or as `options.replay` has them.
///
/// Throws: Error(kBadFormat) naming the line of a file that is no list of times; what read_file
/// throws.
std::vector<double> make_arrivals(const LoadOptions& options);

}  // namespace llava::serve
