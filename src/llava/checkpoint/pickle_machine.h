// SPDX-License-Identifier: Apache-2.0
//
// The interpreter behind pickle_reader.h: its values, its stack, the closed lists of what it knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "llava/checkpoint/file_bytes.h"
#include "llava/checkpoint/pickle_reader.h"

namespace llava::checkpoint {

// Far above every checkpoint (a tensor takes about 40 operations), low enough to bound memory.
inline constexpr uint64_t kMaxPickleBytes = 64u << 20;
inline constexpr uint64_t kMaxPickleOperations = 2u << 20;
inline constexpr std::size_t kMaxPickledTensors = 100'000;
inline constexpr std::size_t kMaxPickleArguments = 16;
inline constexpr std::size_t kMaxPickledRank = 16;

/// What a global name stands for.
enum class PickleGlobal : uint8_t {
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

/// A global name that a file of tensors may use.
struct PickleGlobalName {
  std::string_view module;
  std::string_view name;
  PickleGlobal global;
  DType dtype;
};

/// The name at a position of the closed list.
const PickleGlobalName& pickle_global(int64_t index);

enum class PickleKind : uint8_t {
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
struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  int64_t number = 0;  // kBool, kInt; index of the others
  std::string_view text;
};

struct PickleStorage {
  DType dtype = DType::kUInt8;
  int64_t numel = 0;
  std::string_view key;
};

/// One run over one pickle.
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
    fail(
        ErrorCode::kBadFormat,
        "'{}': {} at byte {} of its pickle, expected tensors and nothing else: the file is damaged "
        "or hostile and is refused",
        file_, what, at_);
  }

  void step(uint8_t opcode);
  bool push_constant(uint8_t opcode);
  bool build_container(uint8_t opcode);
  bool use_memo(uint8_t opcode);

  void push(PickleKind kind, int64_t number) { stack_.push_back({kind, number, {}}); }
  void push_text(std::string_view text) { stack_.push_back({PickleKind::kString, 0, text}); }
  PickleValue pop();
  std::vector<PickleValue> pop_to_mark();
  void push_items(PickleKind kind, std::vector<PickleValue> items);
  std::vector<PickleValue>& items_of(const PickleValue& value) { return containers_[value.number]; }
  const std::vector<PickleValue>& expect_items(const PickleValue& value, PickleKind kind,
                                               std::string_view what) const;
  void append(std::vector<PickleValue> values);
  void set_items(std::vector<PickleValue> values);
  void memoize(uint64_t index);
  void recall(uint64_t index);

  std::string_view read_line();
  int64_t read_long();
  void push_global(std::string_view module, std::string_view name);
  void push_storage(const PickleValue& id);
  void reduce();
  void make_ordered_dict(const std::vector<PickleValue>& arguments);
  void rebuild_tensor(const std::vector<PickleValue>& arguments, PickleGlobal function);
  std::vector<int64_t> integers(const PickleValue& value, std::string_view what) const;
  void check_bounds(const PickledTensor& tensor) const;

  PickledDict collect(const PickleValue& result) const;
  bool is_dict(const PickleValue& value) const {
    return value.kind == PickleKind::kDict || value.kind == PickleKind::kOrderedDict;
  }

  std::string_view file_;
  ByteReader reader_;
  uint64_t at_ = 0;
  bool is_done_ = false;
  uint64_t num_copied_ = 0;
  std::vector<PickleValue> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<uint64_t, PickleValue> memo_;
  std::vector<std::vector<PickleValue>> containers_;
  std::vector<PickleStorage> storages_;
  std::vector<PickledTensor> tensors_;
};

}  // namespace llava::checkpoint
