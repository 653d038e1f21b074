// SPDX-License-Identifier: Apache-2.0
//
// Encoding and decoding with a SentencePiece model, exactly as the sentencepiece library does it:
// BPE by score or unigram by Viterbi, byte fallback, user-defined, unused and unknown pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "llava/text/byte_trie.h"
#include "llava/text/sentencepiece_model.h"
#include "llava/text/sentencepiece_normalizer.h"

namespace llava::text {

/// How normalized text becomes pieces: one of the two algorithms of the format.
class SentencePieceSegmenter {
 public:
  struct Segment {
    int32_t id = 0;  ///< the unknown piece's when the text is no piece
    std::string_view text;
  };

  virtual ~SentencePieceSegmenter() = default;
  /// Segments in order; their texts point into `normalized`.
  virtual std::vector<Segment> segment(std::string_view normalized) const = 0;
};

/// Threads: const, safe to share.
class SentencePieceProcessor {
 public:
  /// `source` names the model in messages.
  ///
  /// Throws: Error(kBadFormat) if the normalizer's character map is malformed.
  SentencePieceProcessor(SentencePieceModel model, std::string_view source);
  ~SentencePieceProcessor();

  SentencePieceProcessor(const SentencePieceProcessor&) = delete;
  SentencePieceProcessor& operator=(const SentencePieceProcessor&) = delete;

  /// Piece ids of a text; no begin or end token.
  std::vector<int32_t> encode(std::string_view text) const;

  /// Text of pieces given by their strings. A string that is no piece stands for itself.
  std::string decode(std::span<const std::string_view> pieces) const;

  /// Id of a piece, or the unknown piece's.
  int32_t id_of(std::string_view piece) const noexcept;

  const SentencePieceModel& model() const noexcept { return model_; }

 private:
  SentencePieceModel model_;
  std::unordered_map<std::string_view, int32_t> ids_;
  std::vector<int32_t> byte_ids_;
  ByteTrie user_defined_;
  SentencePieceNormalizer normalizer_;
  std::unique_ptr<const SentencePieceSegmenter> segmenter_;
};

/// Pieces by repeated merging of the neighbours with the best score.
std::unique_ptr<const SentencePieceSegmenter> make_bpe_segmenter(const SentencePieceModel& model,
                                                                 const ByteTrie& user_defined);

/// Pieces by the best total score (Viterbi).
std::unique_ptr<const SentencePieceSegmenter> make_unigram_segmenter(
    const SentencePieceModel& model);

}  // namespace llava::text
