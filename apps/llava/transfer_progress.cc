// SPDX-License-Identifier: Apache-2.0
#include "transfer_progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <utility>

#include "llava/core/log.h"

namespace llava::app {
namespace {

constexpr auto kRedrawInterval = std::chrono::milliseconds(100);
constexpr auto kLogInterval = std::chrono::seconds(10);
constexpr int kBarWidth = 24;

}  // namespace

std::string size_text(uint64_t bytes) {
  static constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

TransferProgress::TransferProgress(std::string label)
    : label_(std::move(label)), is_terminal_(::isatty(STDERR_FILENO) == 1) {}

TransferProgress::~TransferProgress() {
  if (!is_drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
}

void TransferProgress::update(uint64_t done, uint64_t total) {
  const auto now = Clock::now();
  if (!has_begun_ || total != last_total_) {
    has_begun_ = true;
    first_done_ = done;
    last_total_ = total;
    start_ = now;
    last_report_ = now;
  }
  if (total == 0 || done < first_done_) return;
  const auto interval = is_terminal_ ? Clock::duration(kRedrawInterval) : kLogInterval;
  if (now - last_report_ < interval) return;
  last_report_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done - first_done_) / seconds : 0;
  const std::string left =
      rate > 0 ? fmt::format("{:.0f} s left", static_cast<double>(total - done) / rate) : "";
  const std::string speed = size_text(static_cast<uint64_t>(rate)) + "/s";
  if (!is_terminal_) {
    log_info("fetching", {{"name", label_},
                          {"done", size_text(done)},
                          {"of", size_text(total)},
                          {"rate", speed},
                          {"left", left}});
    return;
  }
  is_drawn_ = true;
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const int filled = static_cast<int>(share * kBarWidth);
  fmt::print(stderr, "\r{} [{:#<{}}{:.<{}}] {:3.0f}% of {}, {}, {}\x1b[K", label_, "", filled, "",
             kBarWidth - filled, share * 100, size_text(total), speed, left);
  std::fflush(stderr);
}

}  // namespace llava::app
