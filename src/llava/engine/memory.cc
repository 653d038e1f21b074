// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

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

void require_memory(int64_t num_bytes, std::string_view what) {
  const auto available = available_memory_bytes();
  if (!available || num_bytes <= *available) return;
  fail(ErrorCode::kResourceExhausted,
       "{} needs {:.0f} MiB, but {:.0f} MiB of memory are available: close other programs, or "
       "choose a smaller model or --dtype bfloat16",
       what, static_cast<double>(num_bytes) / kMiB, static_cast<double>(*available) / kMiB);
}

void require_memory(std::span<const MemoryPart> parts, std::string_view what) {
  int64_t sum = 0;
  std::string list;
  for (const MemoryPart& part : parts) {
    sum += part.num_bytes;
    if (!list.empty()) list += " + ";
    list += fmt::format("{:.0f} for {}", static_cast<double>(part.num_bytes) / kMiB, part.what);
  }
  const auto available = available_memory_bytes();
  if (!available || sum <= *available) return;
  fail(ErrorCode::kResourceExhausted,
       "{} needs {:.0f} MiB ({}), but {:.0f} MiB of memory are available: close "
       "other programs, ask for less at a time, or choose a smaller model or --kv-dtype int8",
       what, static_cast<double>(sum) / kMiB, list, static_cast<double>(*available) / kMiB);
}

}  // namespace llava::engine
