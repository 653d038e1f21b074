// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/stop.h"

#include <algorithm>
#include <utility>

namespace llava::engine {

StopChecker::StopChecker(std::vector<std::string> stop_strings, bool keeps_stop)
    : stop_strings_(std::move(stop_strings)), keeps_stop_(keeps_stop) {
  std::erase_if(stop_strings_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopChecker::push(std::string_view text) {
  if (is_stopped()) return {};
  held_ += text;
  const std::string* first = nullptr;
  std::size_t first_end = 0;
  for (const std::string& stop : stop_strings_) {
    const std::size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const std::size_t end = begin + stop.size();
    if (first == nullptr || end < first_end || (end == first_end && stop.size() > first->size())) {
      first = &stop;
      first_end = end;
    }
  }
  if (first != nullptr) {
    matched_ = *first;
    std::string shown = std::exchange(held_, {});
    shown.resize(keeps_stop_ ? first_end : first_end - first->size());
    return shown;
  }
  std::size_t keep = 0;
  for (const std::string& stop : stop_strings_) {
    for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, length))) {
        keep = length;
        break;
      }
    }
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return shown;
}

std::string StopChecker::finish() { return std::exchange(held_, {}); }

}  // namespace llava::engine
