// SPDX-License-Identifier: Apache-2.0
//
// The log of a server, as its flags say.
#pragma once

#include <string>

#include "llava/serve/server/server_options.h"

namespace llava::app {

/// `--log-level` goes before LLAVA_LOG. `log_dir` gets `name`.log; with `is_one_of_many` each start
/// has a file of its own, name_<6 hex digits>.log, as the original's workers have.
///
/// Throws: what log_to_file throws.   Threads: before there are others.
void configure_server_log(const serve::ServerOptions& options, const std::string& log_dir,
                          const std::string& name, bool is_one_of_many = false);

}  // namespace llava::app
