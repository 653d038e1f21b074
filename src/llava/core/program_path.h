// SPDX-License-Identifier: Apache-2.0
//
// Where the running program lies: what belongs to it is found from there.
#pragma once

#include <filesystem>

namespace llava {

/// Absolute path of the running program's file, symbolic links resolved; empty when the system does
/// not tell. Threads: safe.
std::filesystem::path program_path();

}  // namespace llava
