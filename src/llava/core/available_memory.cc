// SPDX-License-Identifier: Apache-2.0
#include "llava/core/available_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace llava {
namespace {

// "MemAvailable:   123456 kB" of /proc/meminfo: free memory and caches that can be dropped.
std::optional<int64_t> system_available() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  int64_t value = 0;
  std::string unit;
  while (file >> key >> value) {
    std::getline(file, unit);
    if (key == "MemAvailable:") return value * 1024;
  }
  return std::nullopt;
}

std::optional<int64_t> read_number(const char* path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// Pages of files that a version 2 control group is charged for: the system drops them when it needs
// their memory, as MemAvailable takes for granted.
int64_t container_file_cache() {
  std::ifstream file("/sys/fs/cgroup/memory.stat");
  int64_t sum = 0;
  std::string key;
  int64_t value = 0;
  while (file >> key >> value) {
    if (key == "active_file" || key == "inactive_file") sum += value;
  }
  return sum;
}

// Limit of a version 2 control group less what it cannot do without, as containers see it.
std::optional<int64_t> container_available() {
  const auto limit = read_number("/sys/fs/cgroup/memory.max");
  const auto used = read_number("/sys/fs/cgroup/memory.current");
  if (!limit || !used) return std::nullopt;
  return std::clamp<int64_t>(*limit - *used + container_file_cache(), 0, *limit);
}

}  // namespace

std::optional<int64_t> available_memory_bytes() {
  const auto system = system_available();
  const auto container = container_available();
  if (system && container) return std::min(*system, *container);
  return system ? system : container;
}

}  // namespace llava
