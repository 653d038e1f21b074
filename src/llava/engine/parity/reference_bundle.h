// SPDX-License-Identifier: Apache-2.0
//
// A reference bundle: what an independent implementation computed for one case. The format is
// described in docs/parity.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llava/checkpoint/tensor_source.h"
#include "llava/tensor/tensor.h"

namespace llava::engine {

/// The format string this program reads and scripts/make_reference.py writes.
inline constexpr char kReferenceFormat[] = "llava-reference/1";

/// One bundle, checked when it is opened.
///
/// Threads: const, safe to share.
class ReferenceBundle {
 public:
  /// Throws: Error(kNotFound) or Error(kBadFormat): not a safetensors file, another format,
  /// malformed metadata, a tensor of an unexpected type or rank, or images that are named but
  /// missing.
  static ReferenceBundle open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::string source;             ///< program and version that computed it
  DType dtype = DType::kFloat32;  ///< what it computed in
  std::vector<std::filesystem::path> images;
  std::optional<std::string> image_aspect_ratio;
  std::optional<std::string> prompt;
  /// [role, text]; no text for the open slot of the reply.
  std::vector<std::pair<std::string, std::optional<std::string>>> messages;
  std::optional<std::string> conv_mode;
  int32_t max_new_tokens = 0;
  std::vector<float> margins;
  std::optional<std::filesystem::path> model_base;
  std::optional<std::string> lora;

  bool has(const std::string& name) const;
  /// All names, in order.
  std::vector<std::string> names() const;
  /// A float tensor as float32 on the host.
  Tensor floats(const std::string& name) const;
  /// An int64 vector.
  std::vector<int64_t> ints(const std::string& name) const;

 private:
  std::filesystem::path path_;
  std::shared_ptr<const checkpoint::TensorSource> file_;
};

/// The bundles of a path: the file itself, or every *.safetensors of a folder in name order.
///
/// Throws: Error(kNotFound) when there is none.
std::vector<std::filesystem::path> find_bundles(const std::filesystem::path& path);

}  // namespace llava::engine
