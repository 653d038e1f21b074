// SPDX-License-Identifier: Apache-2.0
#include "llava/backend/test_backends.h"

#ifdef LLAVA_TEST_TORCH
#include "llava/backend/torch/torch_backend.h"
#endif

namespace llava {

const std::vector<TestBackend>& test_backends() {
  static const std::vector<TestBackend> backends{
#ifdef LLAVA_TEST_TORCH
      {"torch", [](int num_threads) { return make_torch_backend(Device{}, num_threads); }},
#endif
  };
  return backends;
}

}  // namespace llava
