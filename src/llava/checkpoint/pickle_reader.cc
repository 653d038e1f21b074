// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/pickle_reader.h"

#include <array>
#include <unordered_map>

#include "llava/core/checked_math.h"

namespace llava::checkpoint {
namespace {

// Far above every checkpoint (a tensor takes about 40 operations), low enough to bound memory.
constexpr uint64_t kMaxPickleBytes = 64u << 20;
constexpr uint64_t kMaxOperations = 2u << 20;
constexpr std::size_t kMaxTensors = 100'000;
constexpr std::size_t kMaxArguments = 16;
constexpr std::size_t kMaxRank = 16;

enum class Global : uint8_t {
  kOrderedDict,
  kRebuildTensor2,
  kRebuildTensor3,
  kRebuildParameter,
  kRebuildParameterWithState,
  kSize,
  kStorage,  // with a dtype: elements of that type
  kUntypedStorage,
  kDType,  // with a dtype
};

struct GlobalName {
  std::string_view module;
  std::string_view name;
  Global global;
  DType dtype;
};

constexpr std::array<GlobalName, 28> kGlobals = {{
    {"collections", "OrderedDict", Global::kOrderedDict, DType::kUInt8},
    {"torch._utils", "_rebuild_tensor_v2", Global::kRebuildTensor2, DType::kUInt8},
    {"torch._utils", "_rebuild_tensor_v3", Global::kRebuildTensor3, DType::kUInt8},
    {"torch._utils", "_rebuild_parameter", Global::kRebuildParameter, DType::kUInt8},
    {"torch._utils", "_rebuild_parameter_with_state", Global::kRebuildParameterWithState,
     DType::kUInt8},
    {"torch", "Size", Global::kSize, DType::kUInt8},
    {"torch", "FloatStorage", Global::kStorage, DType::kFloat32},
    {"torch", "HalfStorage", Global::kStorage, DType::kFloat16},
    {"torch", "BFloat16Storage", Global::kStorage, DType::kBFloat16},
    {"torch", "DoubleStorage", Global::kStorage, DType::kFloat64},
    {"torch", "LongStorage", Global::kStorage, DType::kInt64},
    {"torch", "IntStorage", Global::kStorage, DType::kInt32},
    {"torch", "ShortStorage", Global::kStorage, DType::kInt16},
    {"torch", "CharStorage", Global::kStorage, DType::kInt8},
    {"torch", "ByteStorage", Global::kStorage, DType::kUInt8},
    {"torch", "BoolStorage", Global::kStorage, DType::kBool},
    {"torch.storage", "UntypedStorage", Global::kUntypedStorage, DType::kUInt8},
    {"torch", "UntypedStorage", Global::kUntypedStorage, DType::kUInt8},
    {"torch", "float32", Global::kDType, DType::kFloat32},
    {"torch", "float16", Global::kDType, DType::kFloat16},
    {"torch", "bfloat16", Global::kDType, DType::kBFloat16},
    {"torch", "float64", Global::kDType, DType::kFloat64},
    {"torch", "int64", Global::kDType, DType::kInt64},
    {"torch", "int32", Global::kDType, DType::kInt32},
    {"torch", "int16", Global::kDType, DType::kInt16},
    {"torch", "int8", Global::kDType, DType::kInt8},
    {"torch", "uint8", Global::kDType, DType::kUInt8},
    {"torch", "bool", Global::kDType, DType::kBool},
}};

enum class Kind : uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kTuple,
  kList,
  kDict,
  kOrderedDict,
  kGlobal,
  kStorage,
  kTensor,
};

// A value of the pickle. Containers, storages and tensors live in tables of the interpreter and are
// named by index, so that cyclic structures are harmless.
struct Value {
  Kind kind = Kind::kNone;
  int64_t number = 0;  // kBool, kInt; index of the others
  std::string_view text;
};

struct StorageRef {
  DType dtype = DType::kUInt8;
  int64_t numel = 0;
  std::string_view key;
};

class PickleMachine {
 public:
  PickleMachine(std::string_view file, std::span<const std::byte> bytes)
      : file_(file), reader_(file, bytes) {
    if (bytes.size() > kMaxPickleBytes) {
      fail(ErrorCode::kBadFormat, "'{}': its pickle has {} bytes, expected at most {}", file,
           bytes.size(), kMaxPickleBytes);
    }
  }

  PickledDict run();

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail(ErrorCode::kBadFormat,
         "'{}': {} at byte {} of its pickle; a file of tensors has no use for that, so it is "
         "refused",
         file_, what, at_);
  }

  void step(uint8_t opcode);
  bool push_constant(uint8_t opcode);
  bool build_container(uint8_t opcode);
  bool use_memo(uint8_t opcode);

  void push(Kind kind, int64_t number) { stack_.push_back({kind, number, {}}); }
  void push_text(std::string_view text) { stack_.push_back({Kind::kString, 0, text}); }
  Value pop();
  std::vector<Value> pop_to_mark();
  void push_items(Kind kind, std::vector<Value> items);
  std::vector<Value>& items_of(const Value& value) { return containers_[value.number]; }
  const std::vector<Value>& expect_items(const Value& value, Kind kind,
                                         std::string_view what) const;
  void append(std::vector<Value> values);
  void set_items(std::vector<Value> values);
  void memoize(uint64_t index);
  void recall(uint64_t index);

  std::string_view read_line();
  int64_t read_long();
  void push_global(std::string_view module, std::string_view name);
  void push_storage(const Value& id);
  void reduce();
  void make_ordered_dict(const std::vector<Value>& arguments);
  void rebuild_tensor(const std::vector<Value>& arguments, Global function);
  std::vector<int64_t> integers(const Value& value, std::string_view what) const;
  void check_bounds(const PickledTensor& tensor) const;

  PickledDict collect(const Value& result) const;
  bool is_dict(const Value& value) const {
    return value.kind == Kind::kDict || value.kind == Kind::kOrderedDict;
  }

  std::string_view file_;
  ByteReader reader_;
  uint64_t at_ = 0;
  bool is_done_ = false;
  uint64_t num_copied_ = 0;
  std::vector<Value> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<uint64_t, Value> memo_;
  std::vector<std::vector<Value>> containers_;
  std::vector<StorageRef> storages_;
  std::vector<PickledTensor> tensors_;
};

PickledDict PickleMachine::run() {
  uint64_t operations = 0;
  while (!is_done_) {
    at_ = reader_.offset();
    if (++operations > kMaxOperations) refuse("more than 2 million operations");
    step(reader_.number<uint8_t>("pickle opcode"));
  }
  const Value result = pop();
  if (!stack_.empty()) refuse("values left on the stack");
  return collect(result);
}

Value PickleMachine::pop() {
  if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) {
    refuse("a value taken from an empty stack");
  }
  const Value value = stack_.back();
  stack_.pop_back();
  return value;
}

std::vector<Value> PickleMachine::pop_to_mark() {
  if (marks_.empty()) refuse("a mark that was never set");
  const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Value> values(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  marks_.pop_back();
  return values;
}

void PickleMachine::push_items(Kind kind, std::vector<Value> items) {
  containers_.push_back(std::move(items));
  push(kind, static_cast<int64_t>(containers_.size()) - 1);
}

const std::vector<Value>& PickleMachine::expect_items(const Value& value, Kind kind,
                                                      std::string_view what) const {
  if (value.kind != kind) refuse(fmt::format("{} of the wrong type", what));
  return containers_[value.number];
}

void PickleMachine::append(std::vector<Value> values) {
  const Value list = pop();
  if (list.kind != Kind::kList) refuse("an item appended to something that is no list");
  auto& items = items_of(list);
  items.insert(items.end(), values.begin(), values.end());
  stack_.push_back(list);
}

void PickleMachine::set_items(std::vector<Value> values) {
  if (values.size() % 2 != 0) refuse("a dictionary key without a value");
  const Value dict = pop();
  if (!is_dict(dict)) refuse("an item set in something that is no dictionary");
  auto& items = items_of(dict);
  items.insert(items.end(), values.begin(), values.end());
  stack_.push_back(dict);
}

void PickleMachine::memoize(uint64_t index) {
  const Value value = pop();
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

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  for (std::size_t i = 0; i < kGlobals.size(); ++i) {
    if (kGlobals[i].module == module && kGlobals[i].name == name) {
      push(Kind::kGlobal, static_cast<int64_t>(i));
      return;
    }
  }
  refuse(fmt::format("the name '{}.{}'", module, name));
}

// ("storage", type, key, location, numel)
void PickleMachine::push_storage(const Value& id) {
  const auto& fields = expect_items(id, Kind::kTuple, "a storage description");
  const bool is_valid = fields.size() == 5 && fields[0].kind == Kind::kString &&
                        fields[0].text == "storage" && fields[1].kind == Kind::kGlobal &&
                        fields[2].kind == Kind::kString && fields[3].kind == Kind::kString &&
                        fields[4].kind == Kind::kInt && fields[4].number >= 0;
  if (!is_valid) refuse("a malformed storage description");
  const GlobalName& type = kGlobals[static_cast<std::size_t>(fields[1].number)];
  if (type.global != Global::kStorage && type.global != Global::kUntypedStorage) {
    refuse(fmt::format("a storage of type '{}'", type.name));
  }
  storages_.push_back({type.dtype, fields[4].number, fields[2].text});
  push(Kind::kStorage, static_cast<int64_t>(storages_.size()) - 1);
}

std::vector<int64_t> PickleMachine::integers(const Value& value, std::string_view what) const {
  const auto& items = expect_items(value, Kind::kTuple, what);
  if (items.size() > kMaxRank) refuse(fmt::format("{} of {} numbers", what, items.size()));
  std::vector<int64_t> numbers;
  for (const Value& item : items) {
    if (item.kind != Kind::kInt || item.number < 0) {
      refuse(fmt::format("{} that holds something other than sizes", what));
    }
    numbers.push_back(item.number);
  }
  return numbers;
}

void PickleMachine::check_bounds(const PickledTensor& tensor) const {
  const auto storage_bytes = checked_mul(tensor.storage_numel, item_size(tensor.storage_dtype));
  const auto numel = checked_product(tensor.shape);
  if (!storage_bytes || !numel) refuse("a tensor size that overflows");
  const int64_t available = *storage_bytes / item_size(tensor.dtype);
  std::optional<int64_t> last = tensor.offset;
  for (std::size_t i = 0; i < tensor.shape.size() && *numel > 0; ++i) {
    const auto reach = checked_mul(tensor.shape[i] - 1, tensor.strides[i]);
    if (last && reach) last = checked_add(*last, *reach);
    if (!reach) last = std::nullopt;
  }
  const bool is_inside = last && (*numel > 0 ? *last < available : tensor.offset <= available);
  // A view that repeats elements (stride 0) could ask for any amount of memory.
  if (!is_inside || *numel > available) {
    refuse(fmt::format("a tensor of shape {} at offset {} outside its storage '{}' of {} elements",
                       to_text(tensor.shape), tensor.offset, tensor.storage_key, available));
  }
}

// v2: (storage, offset, size, stride, requires_grad, hooks[, metadata])
// v3: (storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])
void PickleMachine::rebuild_tensor(const std::vector<Value>& arguments, Global function) {
  const std::size_t least = function == Global::kRebuildTensor3 ? 7 : 6;
  if (arguments.size() < least || arguments.size() > least + 1 ||
      arguments[0].kind != Kind::kStorage || arguments[1].kind != Kind::kInt ||
      arguments[1].number < 0) {
    refuse("a malformed tensor description");
  }
  const StorageRef& storage = storages_[static_cast<std::size_t>(arguments[0].number)];
  PickledTensor tensor;
  tensor.storage_key = storage.key;
  tensor.storage_dtype = storage.dtype;
  tensor.storage_numel = storage.numel;
  tensor.dtype = storage.dtype;
  if (function == Global::kRebuildTensor3) {
    const Value& dtype = arguments[6];
    if (dtype.kind != Kind::kGlobal ||
        kGlobals[static_cast<std::size_t>(dtype.number)].global != Global::kDType) {
      refuse("a malformed tensor description");
    }
    tensor.dtype = kGlobals[static_cast<std::size_t>(dtype.number)].dtype;
  }
  tensor.offset = arguments[1].number;
  tensor.shape = integers(arguments[2], "a tensor shape");
  tensor.strides = integers(arguments[3], "a tensor's strides");
  if (tensor.shape.size() != tensor.strides.size()) refuse("a shape and strides of two lengths");
  check_bounds(tensor);
  if (tensors_.size() >= kMaxTensors) refuse("more than 100000 tensors");
  tensors_.push_back(std::move(tensor));
  push(Kind::kTensor, static_cast<int64_t>(tensors_.size()) - 1);
}

void PickleMachine::make_ordered_dict(const std::vector<Value>& arguments) {
  std::vector<Value> items;
  if (arguments.size() > 1) refuse("a malformed OrderedDict");
  if (!arguments.empty()) {
    const auto& pairs = expect_items(arguments[0], Kind::kList, "an OrderedDict");
    // One list may serve many calls; the copies together are bounded.
    num_copied_ += pairs.size();
    if (num_copied_ > kMaxOperations) refuse("more than 2 million copied items");
    for (const Value& pair : pairs) {
      const bool is_pair = pair.kind == Kind::kTuple || pair.kind == Kind::kList;
      if (!is_pair || containers_[pair.number].size() != 2) refuse("a malformed OrderedDict");
      items.insert(items.end(), containers_[pair.number].begin(), containers_[pair.number].end());
    }
  }
  push_items(Kind::kOrderedDict, std::move(items));
}

void PickleMachine::reduce() {
  const Value tuple = pop();
  const Value callable = pop();
  if (callable.kind != Kind::kGlobal) refuse("a call of something that is no known function");
  const GlobalName& function = kGlobals[static_cast<std::size_t>(callable.number)];
  if (expect_items(tuple, Kind::kTuple, "call arguments").size() > kMaxArguments) {
    refuse("a call with too many arguments");
  }
  const std::vector<Value> arguments = items_of(tuple);
  switch (function.global) {
    case Global::kOrderedDict:
      return make_ordered_dict(arguments);
    case Global::kRebuildTensor2:
    case Global::kRebuildTensor3:
      return rebuild_tensor(arguments, function.global);
    case Global::kRebuildParameter:
    case Global::kRebuildParameterWithState:
      if (arguments.size() < 3 || arguments[0].kind != Kind::kTensor) {
        refuse("a malformed parameter description");
      }
      stack_.push_back(arguments[0]);
      return;
    case Global::kSize:
      if (arguments.size() != 1) refuse("a malformed torch.Size");
      expect_items(arguments[0], Kind::kTuple, "a torch.Size");
      stack_.push_back(arguments[0]);
      return;
    case Global::kStorage:
    case Global::kUntypedStorage:
    case Global::kDType:
      break;
  }
  refuse(fmt::format("a call of '{}.{}'", function.module, function.name));
}

// Opcodes that push a constant; false for any other.
bool PickleMachine::push_constant(uint8_t opcode) {
  switch (opcode) {
    case 'N':  // NONE
      push(Kind::kNone, 0);
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push(Kind::kBool, opcode == 0x88 ? 1 : 0);
      return true;
    case 'J':  // BININT
      push(Kind::kInt, reader_.number<int32_t>("pickle integer"));
      return true;
    case 'K':  // BININT1
      push(Kind::kInt, reader_.number<uint8_t>("pickle integer"));
      return true;
    case 'M':  // BININT2
      push(Kind::kInt, reader_.number<uint16_t>("pickle integer"));
      return true;
    case 0x8a:  // LONG1
      push(Kind::kInt, read_long());
      return true;
    case 'G':  // BINFLOAT; its value is never needed
      reader_.take(8, "pickle float");
      push(Kind::kFloat, 0);
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
      push_items(Kind::kTuple, {});
      return true;
    case 't':  // TUPLE
      push_items(Kind::kTuple, pop_to_mark());
      return true;
    case 0x85:    // TUPLE1
    case 0x86:    // TUPLE2
    case 0x87: {  // TUPLE3
      std::vector<Value> items(static_cast<std::size_t>(opcode - 0x84));
      for (std::size_t i = items.size(); i-- > 0;) items[i] = pop();
      push_items(Kind::kTuple, std::move(items));
      return true;
    }
    case ']':  // EMPTY_LIST
      push_items(Kind::kList, {});
      return true;
    case 'l':  // LIST
      push_items(Kind::kList, pop_to_mark());
      return true;
    case 'a':  // APPEND
      append({pop()});
      return true;
    case 'e':  // APPENDS
      append(pop_to_mark());
      return true;
    case '}':  // EMPTY_DICT
      push_items(Kind::kDict, {});
      return true;
    case 'd': {  // DICT
      std::vector<Value> items = pop_to_mark();
      if (items.size() % 2 != 0) refuse("a dictionary key without a value");
      push_items(Kind::kDict, std::move(items));
      return true;
    }
    case 's': {  // SETITEM
      const Value value = pop();
      const Value key = pop();
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
      const Value name = pop();
      const Value module = pop();
      if (name.kind != Kind::kString || module.kind != Kind::kString) {
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
      const Value target = pop();
      if (target.kind != Kind::kOrderedDict) refuse("a state set on something but an OrderedDict");
      stack_.push_back(target);
      return;
    }
    default:
      refuse(fmt::format("opcode 0x{:02x}", opcode));
  }
}

PickledDict PickleMachine::collect(const Value& result) const {
  if (!is_dict(result)) {
    fail(ErrorCode::kBadFormat, "'{}': its pickle holds no dictionary of tensors", file_);
  }
  const std::vector<Value>* items = &containers_[result.number];
  const auto has_tensor = [](const std::vector<Value>& list) {
    for (std::size_t i = 1; i < list.size(); i += 2) {
      if (list[i].kind == Kind::kTensor) return true;
    }
    return false;
  };
  if (!has_tensor(*items)) {
    for (std::size_t i = 0; i + 1 < items->size(); i += 2) {
      const Value& key = (*items)[i];
      const Value& value = (*items)[i + 1];
      if (key.kind == Kind::kString && (key.text == "state_dict" || key.text == "model") &&
          is_dict(value)) {
        items = &containers_[value.number];
        break;
      }
    }
  }
  PickledDict dict;
  for (std::size_t i = 0; i + 1 < items->size(); i += 2) {
    const Value& key = (*items)[i];
    const Value& value = (*items)[i + 1];
    if (key.kind != Kind::kString) {
      dict.skipped.push_back("(a key that is no string)");
    } else if (value.kind != Kind::kTensor) {
      dict.skipped.push_back(key.text);
    } else {
      dict.tensors.emplace_back(key.text, tensors_[static_cast<std::size_t>(value.number)]);
    }
  }
  return dict;
}

}  // namespace

PickledDict read_pickled_tensors(std::string_view file, std::span<const std::byte> bytes) {
  return PickleMachine(file, bytes).run();
}

}  // namespace llava::checkpoint
