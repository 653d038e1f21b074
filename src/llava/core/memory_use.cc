// SPDX-License-Identifier: Apache-2.0
#include "llava/core/memory_use.h"

#include <fstream>
#include <string>

namespace llava {

MemoryUse memory_use() {
  MemoryUse use;
  std::ifstream file("/proc/self/status");
  std::string key, rest;
  while (file >> key) {
    int64_t kibibytes = 0;
    if (key == "VmRSS:" && file >> kibibytes) use.bytes = kibibytes * 1024;
    if (key == "VmHWM:" && file >> kibibytes) use.peak_bytes = kibibytes * 1024;
    std::getline(file, rest);
  }
  return use;
}

}  // namespace llava
