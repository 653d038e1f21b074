// SPDX-License-Identifier: Apache-2.0
//
// What one rendering may cost. Templates come from checkpoints, which anybody may have written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "llava/core/error.h"
#include "llava/text/chat_template/value.h"

namespace llava::text::jinja {

class Budget {
 public:
  Budget(int64_t max_steps, size_t max_bytes) : steps_left_(max_steps), bytes_left_(max_bytes) {}

  /// One evaluated node, or one item gone over.
  void step(int64_t count = 1) {
    if (count > steps_left_) {
      fail(ErrorCode::kBadFormat, "the template takes too many steps");
    }
    steps_left_ -= count;
  }

  /// Bytes of text looked at.
  void read(size_t bytes) { step(static_cast<int64_t>(bytes / 16)); }

  /// Bytes about to be created; call before allocating them.
  void charge(size_t bytes) {
    if (bytes > bytes_left_) {
      fail(ErrorCode::kBadFormat, "the template makes too much text");
    }
    bytes_left_ -= bytes;
  }

  /// A new string, charged.
  Value text(std::string text) {
    charge(text.size());
    return Value::string(std::move(text));
  }

  /// A new list or its like, charged.
  Value sequence(Kind kind, std::vector<Value> items) {
    charge(items.size() * sizeof(Value));
    return Value::sequence(kind, std::move(items));
  }

 private:
  int64_t steps_left_;
  size_t bytes_left_;
};

}  // namespace llava::text::jinja
