// SPDX-License-Identifier: Apache-2.0
//
// What pickles of tensors construct: storages, tensors, dictionaries. Nothing here calls anything.
#include <array>
#include <optional>
#include <utility>

#include "llava/checkpoint/pickle_machine.h"
#include "llava/core/checked_math.h"

namespace llava::checkpoint {
namespace {

constexpr std::array<PickleGlobalName, 28> kGlobals = {{
    {"collections", "OrderedDict", PickleGlobal::kOrderedDict, DType::kUInt8},
    {"torch._utils", "_rebuild_tensor_v2", PickleGlobal::kRebuildTensor2, DType::kUInt8},
    {"torch._utils", "_rebuild_tensor_v3", PickleGlobal::kRebuildTensor3, DType::kUInt8},
    {"torch._utils", "_rebuild_parameter", PickleGlobal::kRebuildParameter, DType::kUInt8},
    {"torch._utils", "_rebuild_parameter_with_state", PickleGlobal::kRebuildParameterWithState,
     DType::kUInt8},
    {"torch", "Size", PickleGlobal::kSize, DType::kUInt8},
    {"torch", "FloatStorage", PickleGlobal::kStorage, DType::kFloat32},
    {"torch", "HalfStorage", PickleGlobal::kStorage, DType::kFloat16},
    {"torch", "BFloat16Storage", PickleGlobal::kStorage, DType::kBFloat16},
    {"torch", "DoubleStorage", PickleGlobal::kStorage, DType::kFloat64},
    {"torch", "LongStorage", PickleGlobal::kStorage, DType::kInt64},
    {"torch", "IntStorage", PickleGlobal::kStorage, DType::kInt32},
    {"torch", "ShortStorage", PickleGlobal::kStorage, DType::kInt16},
    {"torch", "CharStorage", PickleGlobal::kStorage, DType::kInt8},
    {"torch", "ByteStorage", PickleGlobal::kStorage, DType::kUInt8},
    {"torch", "BoolStorage", PickleGlobal::kStorage, DType::kBool},
    {"torch.storage", "UntypedStorage", PickleGlobal::kUntypedStorage, DType::kUInt8},
    {"torch", "UntypedStorage", PickleGlobal::kUntypedStorage, DType::kUInt8},
    {"torch", "float32", PickleGlobal::kDType, DType::kFloat32},
    {"torch", "float16", PickleGlobal::kDType, DType::kFloat16},
    {"torch", "bfloat16", PickleGlobal::kDType, DType::kBFloat16},
    {"torch", "float64", PickleGlobal::kDType, DType::kFloat64},
    {"torch", "int64", PickleGlobal::kDType, DType::kInt64},
    {"torch", "int32", PickleGlobal::kDType, DType::kInt32},
    {"torch", "int16", PickleGlobal::kDType, DType::kInt16},
    {"torch", "int8", PickleGlobal::kDType, DType::kInt8},
    {"torch", "uint8", PickleGlobal::kDType, DType::kUInt8},
    {"torch", "bool", PickleGlobal::kDType, DType::kBool},
}};

}  // namespace

const PickleGlobalName& pickle_global(int64_t index) {
  return kGlobals.at(static_cast<std::size_t>(index));
}

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  for (std::size_t i = 0; i < kGlobals.size(); ++i) {
    if (kGlobals[i].module == module && kGlobals[i].name == name) {
      push(PickleKind::kGlobal, static_cast<int64_t>(i));
      return;
    }
  }
  refuse(fmt::format("the name '{}.{}'", module, name));
}

// ("storage", type, key, location, numel)
void PickleMachine::push_storage(const PickleValue& id) {
  const auto& fields = expect_items(id, PickleKind::kTuple, "a storage description");
  const bool is_valid = fields.size() == 5 && fields[0].kind == PickleKind::kString &&
                        fields[0].text == "storage" && fields[1].kind == PickleKind::kGlobal &&
                        fields[2].kind == PickleKind::kString &&
                        fields[3].kind == PickleKind::kString &&
                        fields[4].kind == PickleKind::kInt && fields[4].number >= 0;
  if (!is_valid) refuse("a malformed storage description");
  const PickleGlobalName& type = pickle_global(fields[1].number);
  if (type.global != PickleGlobal::kStorage && type.global != PickleGlobal::kUntypedStorage) {
    refuse(fmt::format("a storage of type '{}'", type.name));
  }
  storages_.push_back({type.dtype, fields[4].number, fields[2].text});
  push(PickleKind::kStorage, static_cast<int64_t>(storages_.size()) - 1);
}

std::vector<int64_t> PickleMachine::integers(const PickleValue& value,
                                             std::string_view what) const {
  const auto& items = expect_items(value, PickleKind::kTuple, what);
  if (items.size() > kMaxPickledRank) refuse(fmt::format("{} of {} numbers", what, items.size()));
  std::vector<int64_t> numbers;
  for (const PickleValue& item : items) {
    if (item.kind != PickleKind::kInt || item.number < 0) {
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
void PickleMachine::rebuild_tensor(const std::vector<PickleValue>& arguments,
                                   PickleGlobal function) {
  const std::size_t least = function == PickleGlobal::kRebuildTensor3 ? 7 : 6;
  if (arguments.size() < least || arguments.size() > least + 1 ||
      arguments[0].kind != PickleKind::kStorage || arguments[1].kind != PickleKind::kInt ||
      arguments[1].number < 0) {
    refuse("a malformed tensor description");
  }
  const PickleStorage& storage = storages_[static_cast<std::size_t>(arguments[0].number)];
  PickledTensor tensor;
  tensor.storage_key = storage.key;
  tensor.storage_dtype = storage.dtype;
  tensor.storage_numel = storage.numel;
  tensor.dtype = storage.dtype;
  if (function == PickleGlobal::kRebuildTensor3) {
    const PickleValue& dtype = arguments[6];
    if (dtype.kind != PickleKind::kGlobal ||
        pickle_global(dtype.number).global != PickleGlobal::kDType) {
      refuse("a malformed tensor description");
    }
    tensor.dtype = pickle_global(dtype.number).dtype;
  }
  tensor.offset = arguments[1].number;
  tensor.shape = integers(arguments[2], "a tensor shape");
  tensor.strides = integers(arguments[3], "a tensor's strides");
  if (tensor.shape.size() != tensor.strides.size()) refuse("a shape and strides of two lengths");
  check_bounds(tensor);
  if (tensors_.size() >= kMaxPickledTensors) refuse("more than 100000 tensors");
  tensors_.push_back(std::move(tensor));
  push(PickleKind::kTensor, static_cast<int64_t>(tensors_.size()) - 1);
}

void PickleMachine::make_ordered_dict(const std::vector<PickleValue>& arguments) {
  std::vector<PickleValue> items;
  if (arguments.size() > 1) refuse("a malformed OrderedDict");
  if (!arguments.empty()) {
    const auto& pairs = expect_items(arguments[0], PickleKind::kList, "an OrderedDict");
    // One list may serve many calls; the copies together are bounded.
    num_copied_ += pairs.size();
    if (num_copied_ > kMaxPickleOperations) refuse("more than 2 million copied items");
    for (const PickleValue& pair : pairs) {
      const bool is_pair = pair.kind == PickleKind::kTuple || pair.kind == PickleKind::kList;
      if (!is_pair || containers_[pair.number].size() != 2) refuse("a malformed OrderedDict");
      items.insert(items.end(), containers_[pair.number].begin(), containers_[pair.number].end());
    }
  }
  push_items(PickleKind::kOrderedDict, std::move(items));
}

void PickleMachine::reduce() {
  const PickleValue tuple = pop();
  const PickleValue callable = pop();
  if (callable.kind != PickleKind::kGlobal) refuse("a call of something that is no known function");
  const PickleGlobalName& function = pickle_global(callable.number);
  if (expect_items(tuple, PickleKind::kTuple, "call arguments").size() > kMaxPickleArguments) {
    refuse("a call with too many arguments");
  }
  const std::vector<PickleValue> arguments = items_of(tuple);
  switch (function.global) {
    case PickleGlobal::kOrderedDict:
      return make_ordered_dict(arguments);
    case PickleGlobal::kRebuildTensor2:
    case PickleGlobal::kRebuildTensor3:
      return rebuild_tensor(arguments, function.global);
    case PickleGlobal::kRebuildParameter:
    case PickleGlobal::kRebuildParameterWithState:
      if (arguments.size() < 3 || arguments[0].kind != PickleKind::kTensor) {
        refuse("a malformed parameter description");
      }
      stack_.push_back(arguments[0]);
      return;
    case PickleGlobal::kSize:
      if (arguments.size() != 1) refuse("a malformed torch.Size");
      expect_items(arguments[0], PickleKind::kTuple, "a torch.Size");
      stack_.push_back(arguments[0]);
      return;
    case PickleGlobal::kStorage:
    case PickleGlobal::kUntypedStorage:
    case PickleGlobal::kDType:
      break;
  }
  refuse(fmt::format("a call of '{}.{}'", function.module, function.name));
}

PickledDict PickleMachine::collect(const PickleValue& result) const {
  if (!is_dict(result)) {
    fail(ErrorCode::kBadFormat, "'{}': its pickle holds no dictionary of tensors", file_);
  }
  const std::vector<PickleValue>* items = &containers_[result.number];
  const auto has_tensor = [](const std::vector<PickleValue>& list) {
    for (std::size_t i = 1; i < list.size(); i += 2) {
      if (list[i].kind == PickleKind::kTensor) return true;
    }
    return false;
  };
  if (!has_tensor(*items)) {
    for (std::size_t i = 0; i + 1 < items->size(); i += 2) {
      const PickleValue& key = (*items)[i];
      const PickleValue& value = (*items)[i + 1];
      if (key.kind == PickleKind::kString && (key.text == "state_dict" || key.text == "model") &&
          is_dict(value)) {
        items = &containers_[value.number];
        break;
      }
    }
  }
  PickledDict dict;
  for (std::size_t i = 0; i + 1 < items->size(); i += 2) {
    const PickleValue& key = (*items)[i];
    const PickleValue& value = (*items)[i + 1];
    if (key.kind != PickleKind::kString) {
      dict.skipped.push_back("(a key that is no string)");
    } else if (value.kind != PickleKind::kTensor) {
      dict.skipped.push_back(key.text);
    } else {
      dict.tensors.emplace_back(key.text, tensors_[static_cast<std::size_t>(value.number)]);
    }
  }
  return dict;
}

}  // namespace llava::checkpoint
