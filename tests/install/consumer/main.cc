// SPDX-License-Identifier: Apache-2.0
//
// A project of somebody else's that uses the installed library.
#include <cstdio>

#include "llava/core/version.h"

int main() {
  std::printf("llava %.*s\n", static_cast<int>(llava::kVersion.size()), llava::kVersion.data());
}
