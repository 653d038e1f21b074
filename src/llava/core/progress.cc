// SPDX-License-Identifier: Apache-2.0
#include "llava/core/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace llava {
namespace {
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);
constexpr int kBarWidth = 30;
}  // namespace

ProgressBar::ProgressBar(std::string_view label)
    : label_(label),
      is_terminal_(::isatty(STDERR_FILENO) == 1),
      start_(std::chrono::steady_clock::now()) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::update(uint64_t done, uint64_t total) {
  if (!is_terminal_ || total == 0) return;
  const auto now = std::chrono::steady_clock::now();
  if (is_drawn_ && now - last_draw_ < kRedrawInterval && done < total) return;
  last_draw_ = now;
  is_drawn_ = true;
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double left = share > 0 ? elapsed * (1 - share) / share : 0;
  const int filled = static_cast<int>(share * kBarWidth);
  fmt::print(stderr, "\r{} [{:#<{}}{:.<{}}] {:3.0f}% {:.0f} s left \x1b[K", label_, "", filled, "",
             kBarWidth - filled, share * 100, left);
  std::fflush(stderr);
}

void ProgressBar::clear() {
  if (!is_drawn_) return;
  fmt::print(stderr, "\r\x1b[K");
  std::fflush(stderr);
  is_drawn_ = false;
}

}  // namespace llava
