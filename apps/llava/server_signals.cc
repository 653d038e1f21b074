// SPDX-License-Identifier: Apache-2.0
#include "server_signals.h"

#include <ctime>

#include "llava/core/error.h"
#include "llava/core/log.h"

namespace llava::app {
namespace {

bool is_end(std::optional<int> signal) { return signal == SIGINT || signal == SIGTERM; }

}  // namespace

ServerSignals::ServerSignals() {
  sigemptyset(&signals_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, signal);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

std::optional<int> ServerSignals::next(std::chrono::milliseconds timeout) const {
  const timespec limit{.tv_sec = timeout.count() / 1000,
                       .tv_nsec = timeout.count() % 1000 * 1'000'000};
  const int signal = sigtimedwait(&signals_, nullptr, &limit);
  return signal > 0 ? std::optional(signal) : std::nullopt;
}

int ServerSignals::wait_for_end(const std::function<void()>& reload) const {
  for (;;) {
    const auto signal = next(std::chrono::hours(1));
    if (is_end(signal)) return *signal;
    if (signal != SIGHUP) continue;
    try {
      reload();
      log_info("reloaded");
    } catch (const Error& error) {
      log_error("reload_failed", {{"error", error.what()}});
    }
  }
}

bool ServerSignals::wait(std::chrono::milliseconds timeout) const { return is_end(next(timeout)); }

}  // namespace llava::app
