// SPDX-License-Identifier: Apache-2.0
#include "open_browser.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "llava/core/log.h"
#include "spawn.h"

namespace llava::app {
namespace {

#ifdef __APPLE__
constexpr const char* kOpener = "open";
#else
constexpr const char* kOpener = "xdg-open";
#endif

bool has_desktop() {
#ifdef __APPLE__
  return true;
#else
  const auto is_set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  return is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
#endif
}

}  // namespace

bool is_on_desktop() { return ::isatty(STDOUT_FILENO) == 1 && has_desktop(); }

void open_browser(const std::string& address) {
  // Nobody waits for it: it is gone when it ends.
  ::signal(SIGCHLD, SIG_IGN);
  if (!spawn({kOpener, address}, true)) {
    log_info("no_browser", {{"program", kOpener}, {"error", std::strerror(errno)}});
  }
}

}  // namespace llava::app
