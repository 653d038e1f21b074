// SPDX-License-Identifier: Apache-2.0
#include "support/paths.h"

namespace llava {

std::filesystem::path source_folder() { return LLAVA_SOURCE_DIR; }
std::filesystem::path test_data() { return source_folder() / "tests/data"; }

}  // namespace llava
