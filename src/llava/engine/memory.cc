// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/memory.h"

#include <string>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

}  // namespace

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
