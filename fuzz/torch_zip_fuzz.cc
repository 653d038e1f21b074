// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a PyTorch file, and the same bytes as a bare pickle: read or refused, and every
// tensor loaded.
#include <cstddef>
#include <cstdint>
#include <span>

#include "attempt.h"
#include "llava/checkpoint/torch_zip.h"
#include "llava/core/log.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using llava::checkpoint::TorchZipFile;
  [[maybe_unused]] static const bool is_quiet = (llava::configure_log("off", false), true);
  const auto bytes = std::as_bytes(std::span(data, size));
  attempt([&] {
    const TorchZipFile file({"fuzz", bytes, nullptr});
    // A small archive may hold many views of one storage; a hundred of them say enough.
    int budget = 100;
    for (const auto& [name, info] : file.tensors()) {
      if (budget-- == 0) break;
      file.load(name);
    }
  });
  attempt([&] { llava::checkpoint::read_pickled_tensors("fuzz", bytes); });
  return 0;
}
