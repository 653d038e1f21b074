// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/weights_hash.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "llava/checkpoint/adapter_config.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/lora_weights.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/error.h"
#include "llava/core/hash.h"

namespace llava::checkpoint {
namespace {

struct HashedTensor {
  std::string name;
  std::string text;  // what the hash of the whole is made of, without the name
};

HashedTensor hash_tensor(const TensorSource& weights, const std::string& name) {
  const Tensor tensor = weights.load(name);
  return {name, fmt::format("{}\n{}\n{}\n", dtype_name(tensor.dtype()), to_text(tensor.shape()),
                            to_hex(sha256(tensor.bytes())))};
}

std::vector<HashedTensor> hash_all(const TensorSource& weights, ThreadPool* pool,
                                   const ProgressCallback& on_progress) {
  std::vector<const TensorInfo*> infos;
  uint64_t total = 0;
  for (const auto& [name, info] : weights.tensors()) {
    infos.push_back(&info);
    total += static_cast<uint64_t>(info.stored_bytes);
  }
  std::vector<HashedTensor> hashed(infos.size());
  std::mutex mutex;
  uint64_t done = 0;
  const auto hash_one = [&](int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    hashed[at] = hash_tensor(weights, infos[at]->name);
    const std::lock_guard lock(mutex);
    done += static_cast<uint64_t>(infos[at]->stored_bytes);
    if (on_progress) on_progress(done, total);
  };
  const auto count = static_cast<int64_t>(infos.size());
  if (pool != nullptr) {
    pool->run(count, hash_one);
  } else {
    for (int64_t i = 0; i < count; ++i) hash_one(i);
  }
  return hashed;
}

// A hash as it is written in a file; nothing when the file says none.
std::string checked(const std::string& value, std::string_view source) {
  const bool is_hash = value.size() == 2 * std::tuple_size_v<Sha256> &&
                       value.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!value.empty() && !is_hash) {
    fail(ErrorCode::kBadFormat,
         "'{}': {} is '{}', expected 64 hexadecimal digits: remove the key to merge unchecked",
         source, kBaseWeightsHashKey, value);
  }
  return value;
}

}  // namespace

std::string weights_sha256(const TensorSource& weights, ThreadPool* pool,
                           const ProgressCallback& on_progress) {
  std::vector<HashedTensor> hashed = hash_all(weights, pool, on_progress);
  const auto find = [&](std::string_view name) {
    return std::ranges::find(hashed, name, &HashedTensor::name);
  };
  const auto head = find(kHeadTable), table = find(kEmbeddingTable);
  if (head != hashed.end() && table != hashed.end() && head->text == table->text) {
    hashed.erase(head);
  }
  std::ranges::sort(hashed, {}, &HashedTensor::name);
  Sha256Stream stream;
  for (const HashedTensor& tensor : hashed) {
    for (const std::string_view part :
         {std::string_view(tensor.name), std::string_view("\n"), std::string_view(tensor.text)}) {
      stream.update(std::as_bytes(std::span(part)));
    }
  }
  return to_hex(stream.finish());
}

std::string base_weights_sha256(const std::filesystem::path& base, ThreadPool* pool,
                                const ProgressCallback& on_progress) {
  const auto weights = rename_source(open_weights(base), [](std::string_view key) {
    return std::optional<std::string>(canonical_name(key));
  });
  return weights_sha256(*weights, pool, on_progress);
}

std::string expected_base_sha256(const std::filesystem::path& adapter_folder) {
  const std::filesystem::path config = adapter_folder / "adapter_config.json";
  const std::string configured =
      checked(read_adapter_config(adapter_folder).base_weights_sha256, config.string());
  const std::filesystem::path path = find_adapter_file(adapter_folder);
  const auto file = std::dynamic_pointer_cast<const SafetensorsFile>(open_tensor_file(path));
  if (file == nullptr) return configured;
  const auto it = file->metadata().find(std::string(kBaseWeightsHashKey));
  if (it == file->metadata().end()) return configured;
  const std::string stored = checked(it->second, path.string());
  if (stored.empty()) return configured;
  if (!configured.empty() && configured != stored) {
    fail(ErrorCode::kBadFormat,
         "'{}' says that its base has the hash {}, but '{}' says {}: the files are not of the same "
         "adapter",
         path.string(), stored, config.string(), configured);
  }
  return stored;
}

}  // namespace llava::checkpoint
