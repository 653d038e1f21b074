// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/sharded.h"

#include <array>
#include <set>
#include <utility>

#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/packed_store.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/torch_zip.h"
#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 5> kWeightFiles = {
    kPackedStoreFile, "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
    "pytorch_model.bin.index.json"};

class UnitedSource final : public TensorSource {
 public:
  explicit UnitedSource(std::vector<std::shared_ptr<const TensorSource>> parts) {
    for (auto& part : parts) {
      for (const auto& [name, info] : part->tensors()) {
        const auto [it, is_new] = tensors_.emplace(name, info);
        if (!is_new) {
          fail(ErrorCode::kBadFormat, "tensor '{}' is in both '{}' and '{}', expected in one", name,
               it->second.file, info.file);
        }
        owners_.emplace(name, part);
      }
    }
  }

  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }

  Tensor load(const std::string& name) const override {
    const auto it = owners_.find(name);
    if (it == owners_.end()) fail(ErrorCode::kNotFound, "no shard has a tensor '{}'", name);
    return it->second->load(name);
  }

 private:
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::shared_ptr<const TensorSource>> owners_;
};

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// The shards an index names, with the tensors it expects in each.
std::map<std::string, std::set<std::string>> read_index(const fs::path& path) {
  const Json json = read_json_file(path);
  const JsonObject index(json, fmt::format("'{}'", path.string()));
  const Json* weight_map = index.find("weight_map");
  if (weight_map == nullptr || !weight_map->is_object() || weight_map->empty()) {
    index.wrong_type("weight_map", "an object from tensor names to file names");
  }
  std::map<std::string, std::set<std::string>> shards;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || !is_plain_file_name(file.get_ref<const std::string&>())) {
      fail(ErrorCode::kBadFormat,
           "'{}': tensor '{}' is said to be in {}, expected the plain name of a file in the same "
           "folder",
           path.string(), tensor, to_text(file));
    }
    shards[file.get<std::string>()].insert(tensor);
  }
  return shards;
}

std::shared_ptr<const TensorSource> open_indexed(const fs::path& index_path) {
  const auto shards = read_index(index_path);
  const fs::path folder = index_path.parent_path();
  std::string missing;
  for (const auto& [file, tensors] : shards) {
    if (!fs::exists(folder / file)) missing += (missing.empty() ? "" : ", ") + file;
  }
  if (!missing.empty()) {
    fail(ErrorCode::kNotFound,
         "'{}' names files that are missing from the folder: {}: download them",
         index_path.string(), missing);
  }
  std::vector<std::shared_ptr<const TensorSource>> parts;
  for (const auto& [file, expected] : shards) {
    auto part = open_tensor_file(folder / file);
    for (const std::string& name : expected) {
      if (!part->tensors().contains(name)) {
        fail(ErrorCode::kBadFormat, "'{}' places tensor '{}' in '{}', which does not have it",
             index_path.string(), name, file);
      }
    }
    parts.push_back(std::move(part));
  }
  return unite_sources(std::move(parts));
}

std::shared_ptr<const TensorSource> open_found(const fs::path& path) {
  if (path.extension() == ".json") return open_indexed(path);
  return open_tensor_file(path);
}

}  // namespace

std::shared_ptr<const TensorSource> open_tensor_file(const fs::path& path) {
  FileBytes file = map_file(path);
  const auto begins_with = [&](std::string_view magic, std::size_t at = 0) {
    return file.bytes.size() >= at + magic.size() &&
           std::memcmp(file.bytes.data() + at, magic.data(), magic.size()) == 0;
  };
  if (begins_with("PK\x03\x04")) return std::make_shared<const TorchZipFile>(std::move(file));
  if (begins_with(kPackedStoreMagic)) return std::make_shared<const PackedStore>(std::move(file));
  if (begins_with("GGUF")) return std::make_shared<const GgufFile>(std::move(file));
  if (begins_with("{", 8)) return std::make_shared<const SafetensorsFile>(std::move(file));
  if (begins_with("\x80\x02")) {
    fail(ErrorCode::kUnsupported,
         "'{}' is a PyTorch file in the legacy format from before version 1.6: load and save it "
         "again with a current PyTorch",
         path.string());
  }
  if (begins_with("version https://git-lfs")) {
    fail(ErrorCode::kBadFormat,
         "'{}' is a Git LFS pointer and not the file itself: fetch it with 'git lfs pull'",
         path.string());
  }
  fail(ErrorCode::kBadFormat,
       "'{}' begins like none of safetensors, PyTorch zip, GGUF and a packed store: the file is "
       "damaged, its writing was interrupted, or it is no weight file",
       path.string());
}

std::optional<fs::path> find_weights(const fs::path& folder) {
  for (const std::string_view name : kWeightFiles) {
    if (fs::exists(folder / name)) return folder / name;
  }
  return std::nullopt;
}

std::shared_ptr<const TensorSource> open_weights(const fs::path& path) {
  std::shared_ptr<const TensorSource> source;
  if (fs::is_regular_file(path)) {
    source = open_found(path);
  } else if (const auto found = find_weights(path)) {
    source = open_found(*found);
  } else {
    fail(ErrorCode::kNotFound,
         "'{}' has no weights: expected one of model.llava, model.safetensors, "
         "model.safetensors.index.json, "
         "pytorch_model.bin, pytorch_model.bin.index.json",
         path.string());
  }
  refuse_quantized_keys(*source, path.string());
  return source;
}

std::shared_ptr<const TensorSource> unite_sources(
    std::vector<std::shared_ptr<const TensorSource>> parts) {
  return std::make_shared<const UnitedSource>(std::move(parts));
}

}  // namespace llava::checkpoint
