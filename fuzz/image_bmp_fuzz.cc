// SPDX-License-Identifier: Apache-2.0
#include "image_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz_picture(data, size);
  return 0;
}
