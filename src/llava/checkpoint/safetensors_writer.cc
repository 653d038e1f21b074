// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "llava/checkpoint/safetensors.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

std::string_view stored_name(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "F32";
    case DType::kFloat16:
      return "F16";
    case DType::kBFloat16:
      return "BF16";
    case DType::kFloat64:
      return "F64";
    case DType::kInt64:
      return "I64";
    case DType::kInt32:
      return "I32";
    case DType::kInt16:
      return "I16";
    case DType::kInt8:
      return "I8";
    case DType::kUInt8:
      return "U8";
    case DType::kBool:
      return "BOOL";
    default:
      fail(ErrorCode::kInternal, "{} tensors have no safetensors type", dtype_name(dtype));
  }
}

// A file that disappears again unless it is finished.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& target)
      : target_(target), path_(target.string() + ".tmp-" + std::to_string(::getpid())) {
    file_ = std::fopen(path_.c_str(), "wb");
    if (file_ == nullptr) {
      fail(ErrorCode::kNotFound, "cannot create '{}': {}", path_, std::strerror(errno));
    }
  }
  ~TemporaryFile() {
    if (file_ != nullptr) std::fclose(file_);
    if (!path_.empty()) std::remove(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(const void* data, std::size_t size) {
    if (size > 0 && std::fwrite(data, 1, size, file_) != size) refuse();
  }

  void finish() {
    if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) refuse();
    std::fclose(file_);
    file_ = nullptr;
    if (std::rename(path_.c_str(), target_.c_str()) != 0) {
      fail(ErrorCode::kNotFound, "cannot rename '{}' to '{}': {}", path_, target_.string(),
           std::strerror(errno));
    }
    path_.clear();
  }

 private:
  [[noreturn]] void refuse() {
    fail(ErrorCode::kResourceExhausted, "cannot write '{}': {}", path_, std::strerror(errno));
  }

  std::filesystem::path target_;
  std::string path_;
  std::FILE* file_ = nullptr;
};

}  // namespace

void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  // Widest types first, then by name, so that every tensor is aligned for its type.
  std::vector<const std::pair<std::string, Tensor>*> order;
  std::set<std::string_view> names;
  for (const auto& item : tensors) {
    if (!names.insert(item.first).second || item.first == "__metadata__") {
      fail(ErrorCode::kInvalidArgument, "cannot write '{}': tensor name '{}' is {}", path.string(),
           item.first, item.first == "__metadata__" ? "reserved" : "given twice");
    }
    order.push_back(&item);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    const int64_t width_a = item_size(a->second.dtype());
    const int64_t width_b = item_size(b->second.dtype());
    return width_a != width_b ? width_a > width_b : a->first < b->first;
  });

  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t position = 0;
  for (const auto* item : order) {
    const int64_t end = position + item->second.num_bytes();
    header[item->first] = {{"dtype", stored_name(item->second.dtype())},
                           {"shape", item->second.shape()},
                           {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = to_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t size = text.size();

  TemporaryFile file(path);
  file.write(&size, sizeof(size));
  file.write(text.data(), text.size());
  for (const auto* item : order) {
    const auto bytes = item->second.bytes();
    file.write(bytes.data(), bytes.size());
  }
  file.finish();
}

}  // namespace llava::checkpoint
