// SPDX-License-Identifier: Apache-2.0
//
// Checks of our own invariants. A check that fails is a fault of the program, never of its input.
#pragma once

#include "llava/core/error.h"

/// Throws Error(kInternal) when `condition` is false, in every build.
#define LLAVA_CHECK(condition, ...)                                                         \
  do {                                                                                      \
    if (!(condition)) [[unlikely]] {                                                        \
      ::llava::fail(::llava::ErrorCode::kInternal, "check failed at {}:{}: {}{}", __FILE__, \
                    __LINE__, #condition, ::llava::detail::check_message(__VA_ARGS__));     \
    }                                                                                       \
  } while (false)

/// LLAVA_CHECK for hot loops: only in builds without NDEBUG.
#ifdef NDEBUG
#define LLAVA_DCHECK(condition, ...) \
  do {                               \
  } while (false)
#else
#define LLAVA_DCHECK(condition, ...) LLAVA_CHECK(condition, ##__VA_ARGS__)
#endif

namespace llava::detail {
inline std::string check_message() { return {}; }
template <class... Args>
std::string check_message(fmt::format_string<Args...> format, Args&&... args) {
  return ": " + fmt::format(format, std::forward<Args>(args)...);
}
}  // namespace llava::detail
