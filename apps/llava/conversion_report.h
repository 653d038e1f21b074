// SPDX-License-Identifier: Apache-2.0
//
// How the commands that write a checkpoint say what they wrote.
#pragma once

#include "llava/engine/conversion/consolidate.h"

namespace llava::app {

/// Prints one line, or one JSON object, on standard output.
void print_conversion(const engine::ConversionReport& report, bool as_json);

}  // namespace llava::app
