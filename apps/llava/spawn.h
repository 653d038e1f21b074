// SPDX-License-Identifier: Apache-2.0
//
// Starts another program beside this one.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace llava::app {

/// Starts `command`, a program of the search path and its arguments, in a process group of its own,
/// which keeps it from the terminal's Ctrl-C. `is_silent`: it hears and says nothing; else what it
/// prints goes to standard error. Nothing when it cannot be started; `errno` says why.
std::optional<pid_t> spawn(std::vector<std::string> command, bool is_silent);

}  // namespace llava::app
