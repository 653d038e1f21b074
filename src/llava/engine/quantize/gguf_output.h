// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint as llama.cpp reads it: a GGUF language model and, beside it, the tower with the
// projector (mmproj).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llava/checkpoint/gguf_writer.h"
#include "llava/checkpoint/packed_store.h"
#include "llava/engine/checkpoint_images.h"
#include "llava/engine/checkpoint_place.h"
#include "llava/engine/checkpoint_text.h"

namespace llava::engine {

/// Names of the two files in a folder.
inline constexpr std::string_view kGgufModelFile = "model.gguf";
inline constexpr std::string_view kGgufProjectorFile = "mmproj.gguf";

/// What a GGUF pair is made of besides its tensors.
struct GgufSource {
  const CheckpointPlace& place;
  const CheckpointText& text;
  const image::ImageProcessorConfig& processor;
};

/// Writes both files tensor by tensor.
///
/// Threads: one thread at a time.
class GgufOutput {
 public:
  /// `plan` are the tensors under the original's names.
  ///
  /// Throws: Error(kUnsupported) for what llama.cpp has no place for: another projector than two
  /// layers, a kept class token, tokenizers other than SentencePiece, Qwen2's and Llama 3's.
  GgufOutput(const std::filesystem::path& folder, const GgufSource& source,
             const std::vector<checkpoint::PlannedTensor>& plan);

  /// Length of both files.
  uint64_t file_bytes() const;
  /// The next tensor of the plan.
  void write(const std::string& name, const Tensor& tensor);
  void finish();

 private:
  std::vector<int64_t> row_order(const std::string& name) const;

  model::DecoderConfig decoder_;
  std::optional<checkpoint::GgufWriter> model_;
  std::optional<checkpoint::GgufWriter> projector_;
  std::size_t next_model_ = 0;
  std::size_t next_projector_ = 0;
};

}  // namespace llava::engine
