// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/torch_zip.h"

#include <optional>
#include <utility>

#include "llava/checkpoint/zip_reader.h"
#include "llava/core/checked_math.h"
#include "llava/core/log.h"

namespace llava::checkpoint {
namespace {

using Entries = std::map<std::string, std::span<const std::byte>>;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The archive's one top-level folder: the one that holds data.pkl.
std::string find_root(const FileBytes& file, const Entries& entries) {
  std::optional<std::string> root;
  for (const auto& [name, bytes] : entries) {
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos || std::string_view(name).substr(slash) != "/data.pkl") continue;
    if (root) {
      fail(ErrorCode::kBadFormat, "'{}' holds both '{}/data.pkl' and '{}', expected one", file.name,
           *root, name);
    }
    root = name.substr(0, slash);
  }
  if (!root) {
    fail(ErrorCode::kBadFormat,
         "'{}' is a ZIP archive without data.pkl, expected a file saved by PyTorch", file.name);
  }
  if (entries.contains(*root + "/constants.pkl")) {
    fail(ErrorCode::kUnsupported,
         "'{}' is a TorchScript program (it holds '{}/constants.pkl'), expected saved tensors",
         file.name, *root);
  }
  const auto byte_order = entries.find(*root + "/byteorder");
  if (byte_order != entries.end() && as_text(byte_order->second) != "little") {
    fail(ErrorCode::kUnsupported, "'{}' was saved with byte order '{}', expected 'little'",
         file.name, as_text(byte_order->second).substr(0, 16));
  }
  return *root;
}

bool is_contiguous(const PickledTensor& tensor) {
  if (*checked_product(tensor.shape) == 0) return true;
  int64_t expected = 1;
  for (std::size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

// Gathers a strided tensor row by row of its innermost dimension.
void copy_strided(const std::byte* from, const PickledTensor& tensor, std::byte* to) {
  const auto item = static_cast<std::size_t>(item_size(tensor.dtype));
  const std::size_t rank = tensor.shape.size();
  std::vector<int64_t> index(rank, 0);
  int64_t position = tensor.offset;
  const int64_t numel = *checked_product(tensor.shape);
  for (int64_t i = 0; i < numel; ++i) {
    std::memcpy(to, from + static_cast<std::size_t>(position) * item, item);
    to += item;
    for (std::size_t d = rank; d-- > 0;) {
      if (tensor.shape[d] == 1) continue;
      position += tensor.strides[d];
      if (++index[d] < tensor.shape[d]) break;
      position -= tensor.strides[d] * tensor.shape[d];
      index[d] = 0;
    }
  }
}

}  // namespace

std::shared_ptr<const TorchZipFile> TorchZipFile::open(const std::filesystem::path& path) {
  return std::make_shared<const TorchZipFile>(map_file(path));
}

TorchZipFile::TorchZipFile(FileBytes file) : file_(std::move(file)) {
  const Entries entries = read_zip_entries(file_);
  const std::string root = find_root(file_, entries);
  const PickledDict dict = read_pickled_tensors(file_.name, entries.at(root + "/data.pkl"));
  for (const auto& [key, tensor] : dict.tensors) {
    const auto entry = entries.find(fmt::format("{}/data/{}", root, tensor.storage_key));
    if (entry == entries.end()) {
      fail(ErrorCode::kBadFormat, "'{}': tensor '{}' needs the entry '{}/data/{}', which is absent",
           file_.name, key, root, tensor.storage_key);
    }
    const auto bytes = checked_mul(tensor.storage_numel, item_size(tensor.storage_dtype));
    if (!bytes || entry->second.size() != static_cast<uint64_t>(*bytes)) {
      fail(ErrorCode::kBadFormat,
           "'{}': tensor '{}' expects a storage of {} elements of {}, but the entry '{}' has {} "
           "bytes",
           file_.name, key, tensor.storage_numel, dtype_name(tensor.storage_dtype), entry->first,
           entry->second.size());
    }
    const std::string name(key);
    const TensorInfo info{.name = name,
                          .shape = tensor.shape,
                          .dtype = tensor.dtype,
                          .stored_as = std::string(dtype_name(tensor.dtype)),
                          .stored_bytes = *checked_product(tensor.shape) * item_size(tensor.dtype),
                          .file = file_.name};
    if (!tensors_.emplace(name, info).second) {
      fail(ErrorCode::kBadFormat, "'{}': tensor '{}' occurs twice", file_.name, name);
    }
    places_.emplace(name, Place{entry->second, tensor});
  }
  if (!dict.skipped.empty()) {
    log_warning(
        "non_tensor_values_skipped",
        {{"file", file_.name}, {"count", dict.skipped.size()}, {"first", dict.skipped.front()}});
  }
}

Tensor TorchZipFile::load(const std::string& name) const {
  const auto it = places_.find(name);
  if (it == places_.end()) fail(ErrorCode::kNotFound, "'{}' has no tensor '{}'", file_.name, name);
  const auto& [storage, tensor] = it->second;
  const auto item = static_cast<std::size_t>(item_size(tensor.dtype));
  const auto size = static_cast<std::size_t>(tensors_.at(name).stored_bytes);
  if (is_contiguous(tensor)) {
    const std::size_t begin = size == 0 ? 0 : static_cast<std::size_t>(tensor.offset) * item;
    return tensor_over(file_, storage.subspan(begin, size), tensor.shape, tensor.dtype);
  }
  Tensor copy = Tensor::empty(tensor.shape, tensor.dtype);
  copy_strided(storage.data(), tensor, copy.mutable_bytes().data());
  return copy;
}

}  // namespace llava::checkpoint
