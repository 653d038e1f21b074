// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary that a GGUF file carries in its metadata, and the tokenizer it makes. The reader
// of the container fills the struct; nothing here knows the file format.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llava/text/tokenizer.h"

namespace llava::text {

/// The `tokenizer.ggml.*` keys, unchecked.
struct GgufVocabulary {
  std::string source;                ///< names the file in messages
  std::string model;                 ///< "llama" (SentencePiece) or "gpt2" (byte-level BPE)
  std::string pre;                   ///< pre-tokenizer of "gpt2"; empty when the key is absent
  std::vector<std::string> tokens;   ///< by id
  std::vector<float> scores;         ///< of "llama"
  std::vector<int32_t> token_types;  ///< as SentencePiece's, 1 to 6; empty for all normal
  std::vector<std::string> merges;   ///< of "gpt2": "left right"
  std::optional<int64_t> bos_id;
  std::optional<int64_t> eos_id;
  std::optional<int64_t> unk_id;
  std::optional<int64_t> pad_id;
  std::optional<bool> add_bos;
  std::optional<bool> add_eos;
  std::optional<bool> add_space_prefix;  ///< of "llama", default true
};

/// The vocabulary from what the reader of a container found, a struct with the same members.
template <class Found>
GgufVocabulary to_vocabulary(Found found, std::string source) {
  return {.source = std::move(source),
          .model = std::move(found.model),
          .pre = std::move(found.pre),
          .tokens = std::move(found.tokens),
          .scores = std::move(found.scores),
          .token_types = std::move(found.types),
          .merges = std::move(found.merges),
          .bos_id = found.bos_id,
          .eos_id = found.eos_id,
          .unk_id = found.unk_id,
          .pad_id = found.pad_id,
          .add_bos = found.add_bos,
          .add_eos = found.add_eos,
          .add_space_prefix = found.add_space_prefix};
}

/// Makes the tokenizer. "llama" follows the slow LLaMA class (legacy), "gpt2" the fast form of the
/// published tokenizer that the pre-tokenizer names.
///
/// Throws: Error(kBadFormat) naming the key for inconsistent content, Error(kUnsupported) naming an
/// unknown model or pre-tokenizer.
std::unique_ptr<Tokenizer> make_gguf_tokenizer(const GgufVocabulary& vocabulary);

}  // namespace llava::text
