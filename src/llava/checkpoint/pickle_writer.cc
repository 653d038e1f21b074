// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/pickle_writer.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>

#include "llava/core/error.h"

namespace llava::checkpoint {
namespace {

// Items that one SETITEMS takes, as Python's pickler has it.
constexpr std::size_t kBatch = 1000;

std::string_view storage_class(const PicklableTensor& tensor) {
  switch (tensor.dtype) {
    case DType::kFloat32:
      return "FloatStorage";
    case DType::kFloat16:
      return "HalfStorage";
    case DType::kBFloat16:
      return "BFloat16Storage";
    case DType::kFloat64:
      return "DoubleStorage";
    case DType::kInt64:
      return "LongStorage";
    case DType::kInt32:
      return "IntStorage";
    case DType::kInt16:
      return "ShortStorage";
    case DType::kInt8:
      return "CharStorage";
    case DType::kUInt8:
      return "ByteStorage";
    case DType::kBool:
      return "BoolStorage";
    default:
      fail(ErrorCode::kUnsupported,
           "tensor '{}' is of type {}, which PyTorch files do not have: write the weights it was "
           "made from",
           tensor.name, dtype_name(tensor.dtype));
  }
}

Shape contiguous_strides(const Shape& shape) {
  Shape strides(shape.size());
  int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

int64_t numel_of(const Shape& shape) {
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  return numel;
}

// Opcodes with the memo that Python's pickler keeps: whatever has been written once is numbered and
// fetched by its number afterwards.
class Pickler {
 public:
  std::string take() { return std::move(out_); }

  void code(char opcode) { out_ += opcode; }

  void integer(int64_t value) {
    if (value >= 0 && value < 256) {
      code('K');
      put(static_cast<uint8_t>(value));
    } else if (value >= 0 && value < 65536) {
      code('M');
      put(static_cast<uint16_t>(value));
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
      code('J');
      put(static_cast<int32_t>(value));
    } else {
      std::size_t width = sizeof(value);
      // The shortest form that keeps the sign; sizes are positive.
      while (width > 1 && value >> (8 * width - 9) == 0) --width;
      code('\x8a');
      put(static_cast<uint8_t>(width));
      out_.append(reinterpret_cast<const char*>(&value), width);
    }
  }

  void text(std::string_view value) {
    const std::string key = fmt::format("s{}", value);
    if (fetch(key)) return;
    code('X');
    put(static_cast<uint32_t>(value.size()));
    out_ += value;
    memoize(key);
  }

  void global(std::string_view module, std::string_view name) {
    const std::string key = fmt::format("c{}\n{}\n", module, name);
    if (fetch(key)) return;
    out_ += key;
    memoize(key);
  }

  void tuple(std::span<const int64_t> values) {
    if (values.empty()) {
      code(')');
      return;
    }
    if (values.size() > 3) code('(');
    for (const int64_t value : values) integer(value);
    code(values.size() > 3 ? 't' : "\x85\x86\x87"[values.size() - 1]);
    memoize({});
  }

  // Whether `key` has been written; if so it is fetched.
  bool fetch(const std::string& key) {
    const auto it = memo_.find(key);
    if (it == memo_.end()) return false;
    numbered('h', 'j', it->second);
    return true;
  }

  // Numbers what was written last; an empty key is never fetched.
  void memoize(const std::string& key) {
    if (!key.empty()) memo_.emplace(key, next_);
    numbered('q', 'r', next_++);
  }

 private:
  template <class T>
  void put(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  void numbered(char one_byte, char four_bytes, uint32_t number) {
    if (number < 256) {
      code(one_byte);
      put(static_cast<uint8_t>(number));
    } else {
      code(four_bytes);
      put(number);
    }
  }

  std::string out_;
  std::map<std::string, uint32_t> memo_;
  uint32_t next_ = 0;
};

// ("storage", class, key, "cpu", elements), which torch resolves to the archive's entry.
void write_storage(Pickler& pickler, const PicklableTensor& tensor) {
  pickler.code('(');
  pickler.text("storage");
  pickler.global("torch", storage_class(tensor));
  pickler.text(tensor.storage_key);
  pickler.text("cpu");
  pickler.integer(numel_of(tensor.shape));
  pickler.code('t');
  pickler.memoize({});
  pickler.code('Q');
}

// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)
void write_tensor(Pickler& pickler, const PicklableTensor& tensor) {
  // One storage under one shape is one tensor object in Python.
  const std::string key = fmt::format("t{} {}", tensor.storage_key, to_text(tensor.shape));
  if (pickler.fetch(key)) return;
  pickler.global("torch._utils", "_rebuild_tensor_v2");
  pickler.code('(');
  write_storage(pickler, tensor);
  pickler.integer(0);
  pickler.tuple(tensor.shape);
  pickler.tuple(contiguous_strides(tensor.shape));
  pickler.code('\x89');
  pickler.global("collections", "OrderedDict");
  pickler.code(')');
  pickler.code('R');
  pickler.memoize({});
  pickler.code('t');
  pickler.memoize({});
  pickler.code('R');
  pickler.memoize(key);
}

}  // namespace

std::string pickle_tensors(const std::vector<PicklableTensor>& tensors) {
  Pickler pickler;
  pickler.code('\x80');
  pickler.code('\x02');
  pickler.code('}');
  pickler.memoize({});
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors.size() > 1 && i % kBatch == 0) pickler.code('(');
    pickler.text(tensors[i].name);
    write_tensor(pickler, tensors[i]);
    if (tensors.size() > 1 && (i % kBatch == kBatch - 1 || i + 1 == tensors.size())) {
      pickler.code('u');
    }
  }
  if (tensors.size() == 1) pickler.code('s');
  pickler.code('.');
  return pickler.take();
}

}  // namespace llava::checkpoint
