// SPDX-License-Identifier: Apache-2.0
#include "server_log.h"

#include <fmt/format.h>

#include <random>

#include "llava/core/log.h"
#include "llava/core/log_file.h"

namespace llava::app {

void configure_server_log(const serve::ServerOptions& options, const std::string& log_dir,
                          const std::string& name, bool is_one_of_many) {
  configure_log(options.log_level.empty() ? current_log_level() : options.log_level,
                options.log_format == "json");
  if (log_dir.empty()) return;
  const std::string id =
      is_one_of_many ? fmt::format("_{:06x}", std::random_device{}() & 0xFFFFFFu) : "";
  log_to_file({.folder = log_dir,
               .file = name + id + ".log",
               .family = name + (is_one_of_many ? "_" : ".log"),
               .keep_days = options.log_keep_days});
}

}  // namespace llava::app
