// SPDX-License-Identifier: Apache-2.0
//
// The backends that the conformance cases run on.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "llava/tensor/backend.h"

namespace llava {

struct TestBackend {
  std::string name;
  /// A backend on the processor with this many threads.
  std::function<std::unique_ptr<Backend>(int num_threads)> make;
};

/// Every backend of this build: native always, torch with LLAVA_TORCH.
const std::vector<TestBackend>& test_backends();

}  // namespace llava
