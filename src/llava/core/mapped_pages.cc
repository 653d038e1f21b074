// SPDX-License-Identifier: Apache-2.0
#include "llava/core/mapped_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace llava {

void give_back_pages(std::span<const std::byte> bytes) noexcept {
#ifdef MADV_PAGEOUT
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t end = (begin + bytes.size()) / page * page;
  if (first >= end) return;
  // Advice that the system does not know changes nothing.
  madvise(const_cast<std::byte*>(bytes.data()) + (first - begin), end - first, MADV_PAGEOUT);
#else
  static_cast<void>(bytes);
#endif
}

}  // namespace llava
