// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a safetensors file: opened or refused, and every tensor loaded.
#include <cstddef>
#include <cstdint>
#include <span>

#include "attempt.h"
#include "llava/checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using llava::checkpoint::SafetensorsFile;
  attempt([&] {
    const SafetensorsFile file({"fuzz", std::as_bytes(std::span(data, size)), nullptr});
    for (const auto& entry : file.tensors()) attempt([&] { file.load(entry.first); });
  });
  return 0;
}
