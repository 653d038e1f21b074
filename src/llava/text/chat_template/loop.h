// SPDX-License-Identifier: Apache-2.0
//
// The `loop` variable: where a for loop is. Items are tested by the loop's condition one by one as
// they are needed, because the body may change what the condition reads.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "llava/text/chat_template/value.h"

namespace llava::text::jinja {

class Loop {
 public:
  using Condition = std::function<bool(const Value&)>;

  /// An empty condition takes every item.
  Loop(std::vector<Value> items, Condition condition)
      : items_(std::move(items)), condition_(std::move(condition)) {}

  /// Moves on to the next item; false at the end.
  bool advance();
  const Value& current() const { return current_; }

  /// `loop.name`, undefined if there is no such attribute.
  Value attribute(const std::string& name);
  /// loop.changed(values): whether they differ from those of the last call.
  bool has_changed(Budget& budget, Value values);
  int64_t index0() const { return index0_; }

 private:
  std::optional<Value> fetch();
  const std::optional<Value>& peek();
  int64_t length();

  std::vector<Value> items_;
  Condition condition_;
  size_t next_ = 0;
  int64_t index0_ = -1;
  Value before_;
  Value current_;
  std::optional<Value> after_;
  std::optional<int64_t> length_;
  std::optional<Value> last_values_;
};

}  // namespace llava::text::jinja
