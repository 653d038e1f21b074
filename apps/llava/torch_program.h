// SPDX-License-Identifier: Apache-2.0
//
// Loading LibTorch takes a quarter of a second, which `llava --version` and every command on the
// processor would pay for nothing. So a build with LibTorch makes two programs from the same files:
// `llava`, linked without it, and beside it `llava-torch`, which takes over where it is needed.
#pragma once

#include "llava/runtime.h"

namespace llava::app {

/// Thrown to main: the command needs LibTorch, which this program is not linked with.
struct TorchProgramNeeded {};

/// What a command calls before it reads or writes anything, so that it can start again in
/// `llava-torch`. Does nothing there, and in builds without LibTorch.
///
/// Throws: TorchProgramNeeded.
void require_backend(const RuntimeOptions& options);
/// The same for a command that reports on LibTorch.
void require_torch();

/// Puts `llava-torch` in this program's place, with the same arguments.
///
/// Throws: Error(kUnavailable) when it cannot be started.
[[noreturn]] void start_torch_program(char** argv);

}  // namespace llava::app
