// SPDX-License-Identifier: Apache-2.0
//
// The events of a text/event-stream body from bytes that come in any pieces.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "llava/core/function_ref.h"

namespace llava::serve {

/// An event of SGLang's holds all of an answer so far.
inline constexpr std::size_t kMaxEventBytes = std::size_t{16} << 20;

/// Splits one body. Comments and other fields than `data` are left out; an event that the body's
/// end cuts off never was.
///
/// Threads: one thread at a time.
/// Source: HTML Living Standard, 9.2.6, "Interpreting an event stream".
class EventSplitter {
 public:
  /// The lines of one event's data, with '\n' between them; lives until the call returns.
  using OnEvent = FunctionRef<void(std::string_view data)>;

  explicit EventSplitter(std::size_t max_event_bytes = kMaxEventBytes)
      : max_event_bytes_(max_event_bytes) {}

  /// Adds bytes; calls `on_event` for every event that they complete, in order.
  ///
  /// Throws: Error(kBadFormat) for an event longer than the bound, when those before it have been
  /// delivered; what `on_event` throws. The body cannot be read further then.
  void push(std::string_view bytes, OnEvent on_event);

 private:
  void take_line(std::string_view line, OnEvent on_event);

  std::size_t max_event_bytes_;
  std::string line_;  ///< the beginning of a line
  std::string data_;  ///< of the event so far
  bool has_data_ = false;
  bool is_after_return_ = false;  ///< a line feed that follows belongs to the line before
};

}  // namespace llava::serve
