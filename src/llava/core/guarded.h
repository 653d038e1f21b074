// SPDX-License-Identifier: Apache-2.0
//
// A value that can only be reached while its mutex is held.
#pragma once

#include <mutex>
#include <utility>

namespace llava {

/// A mutex together with the value it protects.
///
/// Threads: safe; `with` runs its function under the lock, and the value has no other way out.
template <class T>
class Guarded {
 public:
  Guarded() = default;
  explicit Guarded(T value) : value_(std::move(value)) {}

  /// Calls `function(value)` under the lock and returns its result.
  template <class Function>
  decltype(auto) with(Function&& function) {
    const std::lock_guard lock(mutex_);
    return std::forward<Function>(function)(value_);
  }

  template <class Function>
  decltype(auto) with(Function&& function) const {
    const std::lock_guard lock(mutex_);
    return std::forward<Function>(function)(value_);
  }

 private:
  mutable std::mutex mutex_;
  T value_{};
};

}  // namespace llava
