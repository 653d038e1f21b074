// SPDX-License-Identifier: Apache-2.0
//
// Where tests find the checkout and their data. The compiler is told in one file only, so that the
// objects of all others are the same wherever a clone lies and ccache knows them again.
#pragma once

#include <filesystem>

namespace llava {

/// The checkout's root.
std::filesystem::path source_folder();
/// tests/data.
std::filesystem::path test_data();

}  // namespace llava
