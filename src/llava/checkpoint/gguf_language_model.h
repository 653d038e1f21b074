// SPDX-License-Identifier: Apache-2.0
//
// A GGUF file as a language model: its shape, its weights under the original names and in the
// original row order, its vocabulary and chat template.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/tensor_source.h"
#include "llava/model/config.h"

namespace llava::checkpoint {

/// The vocabulary in a folder whose language model was a GGUF file ('llava quantize', 'llava
/// train'): that file's metadata.
inline constexpr std::string_view kGgufTokenizerFile = "tokenizer.gguf";

/// The tokenizer that the metadata describes (tokenizer.ggml.*), as found.
struct GgufVocabularyData {
  std::string model;  ///< "llama" (SentencePiece), "gpt2" (byte-level BPE), ...
  std::string pre;    ///< the pre-tokenizer of "gpt2": "llama-bpe", "qwen2", "smollm", ...
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> types;  ///< 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  std::vector<std::string> merges;
  std::optional<int32_t> bos_id;
  std::optional<int32_t> eos_id;
  std::optional<int32_t> unk_id;
  std::optional<int32_t> pad_id;
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
  std::optional<bool> add_space_prefix;
  std::string chat_template;  ///< Jinja text; empty when there is none
};

/// The language model's shape.
///
/// Throws: Error(kUnsupported) for an architecture other than llama and qwen2, mixtures of experts
/// and rope scaling that is not built here; Error(kBadFormat) for missing or impossible values.
model::DecoderConfig read_gguf_decoder_config(const GgufFile& file);

/// The config.json that the published software would have beside the weights of this file: shape,
/// class and special tokens.
///
/// Throws: what read_gguf_decoder_config and read_gguf_vocabulary throw; Error(kUnsupported) for
/// biases that no published class has.
nlohmann::json gguf_config_json(const GgufFile& file);

/// The vocabulary.
///
/// Throws: Error(kNotFound) when the file has none; Error(kBadFormat) when its lists disagree.
GgufVocabularyData read_gguf_vocabulary(const GgufFile& file);

/// The name in a GGUF file of a tensor under its original name, which stays where there is no
/// other.
std::string gguf_name(std::string_view original);

/// How the matrices of block types are loaded.
struct GgufLoading {
  /// In the packed form of their blocks (gguf_repack.h) instead of as float32.
  bool keeps_blocks = false;
  /// Threads that repack, outliving the source; null: the caller's alone.
  ThreadPool* pool = nullptr;
};

/// The weights under the original's names ("model.layers.0.self_attn.q_proj.weight"). For the llama
/// architecture the rows of q and k, which llama.cpp stores interleaved, are put back into the
/// half-rotation order.
///
/// Throws: what read_gguf_decoder_config throws; Error(kBadFormat) when q or k have another shape.
std::shared_ptr<const TensorSource> gguf_language_model(std::shared_ptr<const GgufFile> file,
                                                        const GgufLoading& loading = {});

}  // namespace llava::checkpoint
