// SPDX-License-Identifier: Apache-2.0
#include "llava/core/large_pages.h"

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace llava {

void request_large_pages([[maybe_unused]] void* data,
                         [[maybe_unused]] std::size_t num_bytes) noexcept {
#if defined(__linux__)
  constexpr std::size_t kLargePage = std::size_t{2} << 20;
  if (num_bytes < 4 * kLargePage) return;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = (begin + kLargePage - 1) / kLargePage * kLargePage;
  const std::uintptr_t end = (begin + num_bytes) / kLargePage * kLargePage;
  madvise(static_cast<std::byte*>(data) + (first - begin), end - first, MADV_HUGEPAGE);
#endif
}

}  // namespace llava
