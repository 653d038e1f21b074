// SPDX-License-Identifier: Apache-2.0
//
// Reads the bytes as a file of batched requests.
#include <cstdint>
#include <string_view>

#include "llava/core/check.h"
#include "llava/serve/batches/batch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto input = llava::serve::read_batch_input(text, "/v1/chat/completions");
  LLAVA_CHECK(!input.lines.empty() || !input.errors.empty());
  return 0;
}
