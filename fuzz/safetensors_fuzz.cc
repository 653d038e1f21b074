// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a safetensors file: opened or refused, and every tensor loaded.
#include <cstddef>
#include <cstdint>
#include <span>

#include "llava/checkpoint/safetensors.h"
#include "llava/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using llava::checkpoint::SafetensorsFile;
  try {
    const SafetensorsFile file({"fuzz", std::as_bytes(std::span(data, size)), nullptr});
    for (const auto& [name, info] : file.tensors()) {
      try {
        file.load(name);
      } catch (const llava::Error&) {
      }
    }
  } catch (const llava::Error&) {
  }
  return 0;
}
