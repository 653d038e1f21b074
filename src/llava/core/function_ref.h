// SPDX-License-Identifier: Apache-2.0
//
// A reference to something callable: std::function without the copy of it on the heap, for callees
// that are done with it when they return.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace llava {

template <class Signature>
class FunctionRef;

/// Threads: a value; as safe to call as what it refers to, which outlives it.
template <class Result, class... Args>
class FunctionRef<Result(Args...)> {
 public:
  /// Refers to `callable`, a lambda as it stands.
  template <class Callable>
    requires(!std::same_as<std::remove_cvref_t<Callable>, FunctionRef> &&
             std::is_invocable_r_v<Result, Callable&, Args...>)
  // NOLINTNEXTLINE(google-explicit-constructor,bugprone-forwarding-reference-overload): constrained
  FunctionRef(Callable&& callable) noexcept
      : callable_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
        call_([](void* object, Args... args) -> Result {
          return (*static_cast<std::remove_reference_t<Callable>*>(object))(
              std::forward<Args>(args)...);
        }) {}

  Result operator()(Args... args) const { return call_(callable_, std::forward<Args>(args)...); }

 private:
  void* callable_;
  Result (*call_)(void*, Args...);
};

}  // namespace llava
