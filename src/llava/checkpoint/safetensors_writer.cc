// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/safetensors_writer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "llava/checkpoint/safetensors.h"
#include "llava/core/check.h"
#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

constexpr std::string_view kMetadata = "__metadata__";

std::string_view stored_name(const PlannedTensor& tensor) {
  switch (tensor.dtype) {
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
      fail(ErrorCode::kUnsupported,
           "tensor '{}' is of type {}, which safetensors files do not have: write the weights it "
           "was made from",
           tensor.name, dtype_name(tensor.dtype));
  }
}

// Sorted as they lie in the file.
std::vector<PlannedTensor> in_file_order(const std::filesystem::path& path,
                                         std::vector<PlannedTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const PlannedTensor& a, const PlannedTensor& b) {
    const int64_t width_a = item_size(a.dtype), width_b = item_size(b.dtype);
    return width_a != width_b ? width_a > width_b : a.name < b.name;
  });
  std::vector<std::string_view> names;
  for (const PlannedTensor& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  const bool is_reserved = std::binary_search(names.begin(), names.end(), kMetadata);
  if (twice != names.end() || is_reserved) {
    fail(ErrorCode::kInvalidArgument, "cannot write '{}': tensor name '{}' is {}", path.string(),
         is_reserved ? kMetadata : *twice, is_reserved ? "reserved" : "given twice");
  }
  return tensors;
}

std::string header_of(const std::vector<PlannedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  OrderedJson header = OrderedJson::object();
  if (!metadata.empty()) header[std::string(kMetadata)] = metadata;
  int64_t position = 0;
  for (const PlannedTensor& tensor : tensors) {
    const int64_t end = position + tensor.num_bytes();
    header[tensor.name] = {
        {"dtype", stored_name(tensor)}, {"shape", tensor.shape}, {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = to_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<PlannedTensor> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : tensors_(in_file_order(path, std::move(tensors))), file_(path) {
  const std::string header = header_of(tensors_, metadata);
  const uint64_t size = header.size();
  file_.write(std::as_bytes(std::span(&size, 1)));
  file_.write(header);
}

void SafetensorsWriter::write(const Tensor& tensor) {
  LLAVA_CHECK(next_ < tensors_.size() && tensor.shape() == tensors_[next_].shape &&
              tensor.dtype() == tensors_[next_].dtype);
  ++next_;
  file_.write(tensor.bytes());
}

void SafetensorsWriter::flush() {
  LLAVA_CHECK(next_ == tensors_.size());
  file_.flush();
}

void SafetensorsWriter::finish() {
  flush();
  file_.finish();
}

void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<PlannedTensor> plan;
  std::map<std::string_view, const Tensor*> by_name;
  for (const auto& [name, tensor] : tensors) {
    plan.push_back({name, tensor.shape(), tensor.dtype()});
    by_name.emplace(name, &tensor);
  }
  SafetensorsWriter writer(path, std::move(plan), metadata);
  for (const PlannedTensor& tensor : writer.tensors()) writer.write(*by_name.at(tensor.name));
  writer.finish();
}

}  // namespace llava::checkpoint
