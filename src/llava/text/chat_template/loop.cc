// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/loop.h"

#include <utility>

namespace llava::text::jinja {

std::optional<Value> Loop::fetch() {
  while (next_ < items_.size()) {
    const Value& item = items_[next_++];
    if (!condition_ || condition_(item)) return item;
  }
  return std::nullopt;
}

const std::optional<Value>& Loop::peek() {
  if (!after_) after_ = fetch();
  return after_;
}

bool Loop::advance() {
  std::optional<Value> item = after_ ? std::exchange(after_, std::nullopt) : fetch();
  if (!item) return false;
  ++index0_;
  before_ = std::exchange(current_, std::move(*item));
  return true;
}

int64_t Loop::length() {
  if (length_) return *length_;
  if (!condition_) {
    length_ = static_cast<int64_t>(items_.size());
    return *length_;
  }
  std::vector<Value> rest;
  while (std::optional<Value> item = fetch()) rest.push_back(std::move(*item));
  length_ = static_cast<int64_t>(rest.size()) + index0_ + 1 + (after_ ? 1 : 0);
  items_ = std::move(rest);
  condition_ = nullptr;
  next_ = 0;
  return *length_;
}

Value Loop::attribute(const std::string& name) {
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "index0") return Value::integer(index0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(!peek());
  if (name == "length") return Value::integer(length());
  if (name == "revindex") return Value::integer(length() - index0_);
  if (name == "revindex0") return Value::integer(length() - index0_ - 1);
  if (name == "depth") return Value::integer(1);
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem") {
    return index0_ == 0 ? Value::undefined("there is no previous item") : before_;
  }
  if (name == "nextitem") return peek() ? *peek() : Value::undefined("there is no next item");
  return Value::undefined("'loop' has no attribute '" + name + "'");
}

bool Loop::has_changed(Budget& budget, Value values) {
  const bool is_same = last_values_ && equal(budget, *last_values_, values);
  last_values_ = std::move(values);
  return !is_same;
}

}  // namespace llava::text::jinja
