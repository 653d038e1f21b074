// SPDX-License-Identifier: Apache-2.0
//
// Shapes by name, for models of random numbers that are measured.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "llava/model/config.h"

namespace llava::engine {

/// "7b" and "13b" (LLaVA-1.5), "mistral-7b" (LLaVA-1.6), "tinyllama-1.1b" and "smollm2-135m" (their
/// decoders behind the tower of LLaVA-1.5), "tiny" (for tests).
///
/// Throws: Error(kInvalidArgument) listing the names.
model::LlavaConfig bench_shape(std::string_view name);

/// The names that bench_shape knows.
std::vector<std::string> bench_shape_names();

}  // namespace llava::engine
