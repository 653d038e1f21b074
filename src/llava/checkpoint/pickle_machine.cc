// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/pickle_machine.h"

#include <optional>
#include <utility>

namespace llava::checkpoint {

PickledDict PickleMachine::run() {
  uint64_t operations = 0;
  while (!is_done_) {
    at_ = reader_.offset();
    if (++operations > kMaxPickleOperations) refuse("more than 2 million operations");
    step(reader_.number<uint8_t>("pickle opcode"));
  }
  const PickleValue result = pop();
  if (!stack_.empty()) refuse("values left on the stack");
  return collect(result);
}

PickleValue PickleMachine::pop() {
  if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) {
    refuse("a value taken from an empty stack");
  }
  const PickleValue value = stack_.back();
  stack_.pop_back();
  return value;
}

std::vector<PickleValue> PickleMachine::pop_to_mark() {
  if (marks_.empty()) refuse("a mark that was never set");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleValue> values(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return values;
}

void PickleMachine::push_items(PickleKind kind, std::vector<PickleValue> items) {
  containers_.push_back(std::move(items));
  push(kind, static_cast<int64_t>(containers_.size()) - 1);
}

const std::vector<PickleValue>& PickleMachine::expect_items(const PickleValue& value,
                                                            PickleKind kind,
                                                            std::string_view what) const {
  if (value.kind != kind) refuse(fmt::format("{} of the wrong type", what));
  return containers_[value.number];
}

void PickleMachine::append(std::vector<PickleValue> values) {
  const PickleValue list = pop();
  if (list.kind != PickleKind::kList) refuse("an item appended to something that is no list");
  auto& items = items_of(list);
  items.insert(items.end(), values.begin(), values.end());
  stack_.push_back(list);
}

void PickleMachine::set_items(std::vector<PickleValue> values) {
  if (values.size() % 2 != 0) refuse("a dictionary key without a value");
  const PickleValue dict = pop();
  if (!is_dict(dict)) refuse("an item set in something that is no dictionary");
  auto& items = items_of(dict);
  items.insert(items.end(), values.begin(), values.end());
  stack_.push_back(dict);
}

void PickleMachine::memoize(uint64_t index) {
  const PickleValue value = pop();
  memo_[index] = value;
  stack_.push_back(value);
}

void PickleMachine::recall(uint64_t index) {
  const auto it = memo_.find(index);
  if (it == memo_.end()) refuse(fmt::format("memo entry {} that was never stored", index));
  stack_.push_back(it->second);
}

std::string_view PickleMachine::read_line() {
  ByteReader ahead = reader_;
  uint64_t length = 0;
  while (ahead.number<char>("pickle line") != '\n') {
    if (++length > 256) refuse("a name longer than 256 bytes");
  }
  const std::string_view line = reader_.text(length, "pickle line");
  reader_.take(1, "pickle line");
  return line;
}

// LONG1: little-endian two's complement of at most eight bytes.
int64_t PickleMachine::read_long() {
  const auto size = reader_.number<uint8_t>("pickle integer");
  if (size > 8) refuse(fmt::format("an integer of {} bytes", size));
  const auto raw = reader_.take(size, "pickle integer");
  if (raw.empty()) return 0;
  uint64_t value = (raw.back() & std::byte{0x80}) != std::byte{0} ? ~uint64_t{0} : 0;
  for (std::size_t i = raw.size(); i-- > 0;) {
    value = (value << 8) | std::to_integer<uint64_t>(raw[i]);
  }
  return static_cast<int64_t>(value);
}

// Opcodes that push a constant; false for any other.
bool PickleMachine::push_constant(uint8_t opcode) {
  switch (opcode) {
    case 'N':  // NONE
      push(PickleKind::kNone, 0);
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push(PickleKind::kBool, opcode == 0x88 ? 1 : 0);
      return true;
    case 'J':  // BININT
      push(PickleKind::kInt, reader_.number<int32_t>("pickle integer"));
      return true;
    case 'K':  // BININT1
      push(PickleKind::kInt, reader_.number<uint8_t>("pickle integer"));
      return true;
    case 'M':  // BININT2
      push(PickleKind::kInt, reader_.number<uint16_t>("pickle integer"));
      return true;
    case 0x8a:  // LONG1
      push(PickleKind::kInt, read_long());
      return true;
    case 'G':  // BINFLOAT; its value is never needed
      reader_.take(8, "pickle float");
      push(PickleKind::kFloat, 0);
      return true;
    case 'X':  // BINUNICODE
    case 'T':  // BINSTRING
      push_text(reader_.text(reader_.number<uint32_t>("pickle string length"), "pickle string"));
      return true;
    case 0x8c:  // SHORT_BINUNICODE
    case 'U':   // SHORT_BINSTRING
      push_text(reader_.text(reader_.number<uint8_t>("pickle string length"), "pickle string"));
      return true;
    case 0x8d:  // BINUNICODE8
      push_text(reader_.text(reader_.number<uint64_t>("pickle string length"), "pickle string"));
      return true;
    default:
      return false;
  }
}

// Opcodes that make or fill tuples, lists and dictionaries; false for any other.
bool PickleMachine::build_container(uint8_t opcode) {
  switch (opcode) {
    case ')':  // EMPTY_TUPLE
      push_items(PickleKind::kTuple, {});
      return true;
    case 't':  // TUPLE
      push_items(PickleKind::kTuple, pop_to_mark());
      return true;
    case 0x85:    // TUPLE1
    case 0x86:    // TUPLE2
    case 0x87: {  // TUPLE3
      std::vector<PickleValue> items(static_cast<std::size_t>(opcode - 0x84));
      for (std::size_t i = items.size(); i-- > 0;) items[i] = pop();
      push_items(PickleKind::kTuple, std::move(items));
      return true;
    }
    case ']':  // EMPTY_LIST
      push_items(PickleKind::kList, {});
      return true;
    case 'l':  // LIST
      push_items(PickleKind::kList, pop_to_mark());
      return true;
    case 'a':  // APPEND
      append({pop()});
      return true;
    case 'e':  // APPENDS
      append(pop_to_mark());
      return true;
    case '}':  // EMPTY_DICT
      push_items(PickleKind::kDict, {});
      return true;
    case 'd': {  // DICT
      std::vector<PickleValue> items = pop_to_mark();
      if (items.size() % 2 != 0) refuse("a dictionary key without a value");
      push_items(PickleKind::kDict, std::move(items));
      return true;
    }
    case 's': {  // SETITEM
      const PickleValue value = pop();
      const PickleValue key = pop();
      set_items({key, value});
      return true;
    }
    case 'u':  // SETITEMS
      set_items(pop_to_mark());
      return true;
    default:
      return false;
  }
}

// Opcodes that store in the memo or read it; false for any other.
bool PickleMachine::use_memo(uint8_t opcode) {
  switch (opcode) {
    case 'q':  // BINPUT
      memoize(reader_.number<uint8_t>("memo index"));
      return true;
    case 'r':  // LONG_BINPUT
      memoize(reader_.number<uint32_t>("memo index"));
      return true;
    case 0x94:  // MEMOIZE
      memoize(memo_.size());
      return true;
    case 'h':  // BINGET
      recall(reader_.number<uint8_t>("memo index"));
      return true;
    case 'j':  // LONG_BINGET
      recall(reader_.number<uint32_t>("memo index"));
      return true;
    default:
      return false;
  }
}

void PickleMachine::step(uint8_t opcode) {
  if (push_constant(opcode) || build_container(opcode) || use_memo(opcode)) return;
  switch (opcode) {
    case 0x80:  // PROTO
      if (reader_.number<uint8_t>("pickle protocol") > 5) refuse("an unknown pickle protocol");
      return;
    case 0x95:  // FRAME
      reader_.number<uint64_t>("pickle frame");
      return;
    case '.':  // STOP
      is_done_ = true;
      return;
    case '(':  // MARK
      marks_.push_back(stack_.size());
      return;
    case '0':  // POP
      pop();
      return;
    case '1':  // POP_MARK
      pop_to_mark();
      return;
    case 'c': {  // GLOBAL
      const std::string_view module = read_line();
      push_global(module, read_line());
      return;
    }
    case 0x93: {  // STACK_GLOBAL
      const PickleValue name = pop();
      const PickleValue module = pop();
      if (name.kind != PickleKind::kString || module.kind != PickleKind::kString) {
        refuse("a global that is not named by strings");
      }
      push_global(module.text, name.text);
      return;
    }
    case 'Q':  // BINPERSID
      push_storage(pop());
      return;
    case 'R':  // REDUCE
      reduce();
      return;
    case 'b': {  // BUILD: module state dictionaries carry attributes, which are dropped
      pop();
      const PickleValue target = pop();
      if (target.kind != PickleKind::kOrderedDict)
        refuse("a state set on something but an OrderedDict");
      stack_.push_back(target);
      return;
    }
    default:
      refuse(fmt::format("opcode 0x{:02x}", opcode));
  }
}

PickledDict read_pickled_tensors(std::string_view file, std::span<const std::byte> bytes) {
  return PickleMachine(file, bytes).run();
}

}  // namespace llava::checkpoint
