// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/torch_zip_writer.h"

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <tuple>

#include "llava/checkpoint/pickle_writer.h"
#include "llava/checkpoint/zip_writer.h"
#include "llava/core/error.h"

namespace llava::checkpoint {
namespace {

// The archive's folder is the file's name without its ending, where that is ASCII.
std::string root_of(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  const bool is_ascii = std::all_of(stem.begin(), stem.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 128; });
  return !stem.empty() && is_ascii ? stem : "archive";
}

// Tensors are the same storage when they are the same bytes of the same type.
using StorageId = std::tuple<const std::byte*, std::size_t, DType>;

}  // namespace

void write_torch_zip(const std::filesystem::path& path,
                     const std::vector<std::pair<std::string, Tensor>>& tensors) {
  std::set<std::string_view> names;
  std::map<StorageId, std::string> keys;
  std::vector<std::span<const std::byte>> storages;
  std::vector<PicklableTensor> entries;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second) {
      fail(ErrorCode::kInvalidArgument, "cannot write '{}': tensor name '{}' is given twice",
           path.string(), name);
    }
    const auto bytes = tensor.bytes();
    std::string key = std::to_string(storages.size());
    bool is_new = true;
    if (!bytes.empty()) {
      const auto [it, inserted] =
          keys.emplace(StorageId{bytes.data(), bytes.size(), tensor.dtype()}, key);
      key = it->second;
      is_new = inserted;
    }
    if (is_new) storages.push_back(bytes);
    entries.push_back({name, key, tensor.shape(), tensor.dtype()});
  }

  const std::string pickle = pickle_tensors(entries);
  const std::string root = root_of(path);
  ZipWriter archive(path);
  archive.add(root + "/data.pkl", pickle);
  archive.add(root + "/.format_version", "1");
  archive.add(root + "/.storage_alignment", std::to_string(ZipWriter::kAlignment));
  archive.add(root + "/byteorder", "little");
  for (std::size_t i = 0; i < storages.size(); ++i) {
    archive.add(fmt::format("{}/data/{}", root, i), storages[i]);
  }
  archive.add(root + "/version", "3\n");
  archive.add(root + "/.data/serialization_id", archive.content_digits());
  archive.finish();
}

}  // namespace llava::checkpoint
